"""How many random edits of a port's formulas are caught, explained, and explained wrongly.

    python tests/benchmarks/formulas.py [SINGLES] [PAIRS] [--first SEED]

Each edit is judged on 200 generated cases. "Wrong" means that a formula or a name was told, and that the port computes
something else beyond the bounds in any of 200 fresh cases.
"""

# ruff: noqa: T201 - it prints what it measures
from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "field"))

from matrix_port import SUPPORTS, port
from mutants import mutant, pair

from backprop_check import check
from backprop_check.cases.plan import select_cases
from backprop_check.cases.within import supported
from backprop_check.compare.trace import Slot
from backprop_check.diagnose.evidence import Evidence, Passing
from backprop_check.diagnose.formulas.search import fits
from backprop_check.diagnose.formulas.telling import find, instances_of
from backprop_check.protocol import Supports

#: How an implementation behaves, and numbers that are not finite: told beside the cause.
BESIDE = {"BP004", "BP005", "BP013", "BP014", "BP015"}


def evidences(answer: Any, count: int, seed: int) -> list[Evidence]:
    """The replies to generated cases, as the diagnosis sees them."""
    found = []
    for case in select_cases(["generated"], count, seed, supported(msgspec.convert(SUPPORTS, Supports))):
        reply = answer(msgspec.json.decode(case.request()))
        actual: dict[Slot, Any] = {}
        for index, layer in enumerate(reply["layers"]):
            actual |= {Slot(name, index): np.array(layer[name]) for name in ("z", "a", "delta")}
            actual[Slot("weight_gradient", index)] = np.array(layer["gradients"]["weights"])
            actual[Slot("bias_gradient", index)] = np.array(layer["gradients"]["biases"])
        found.append(Evidence(case, actual))
    return found


def wrong(answer: Any) -> list[str]:
    """The formulas that are found in some cases and do not give the numbers of others."""
    of_cases = [list(instances_of(each, k)) for k, each in enumerate(evidences(answer, 60, 0)) if each.roots]
    if not of_cases:
        return []
    told = find(list(itertools.chain.from_iterable(of_cases)), Passing())
    fresh = [one for each in evidences(answer, 200, 12345) for one in instances_of(each)]
    return [
        found.formulas[0].says
        for found in told
        if not all(fits(found.formulas[0], each) for each in fresh if found.covers(each))
    ]


def measured(kind: str, edits: list[dict[str, str]]) -> None:
    """Print a line for each edit, and the sums."""
    caught = whole = some = lies = 0
    took = []
    for edit in edits:
        answer = port(edit)
        begin = time.process_time()
        results = check(answer, suites=["generated"], cases=200)
        took.append(time.process_time() - begin)
        causes = [each for each in results.causes if each.code not in BESIDE]
        told = [each for each in causes if each.code or each.implemented]
        untold = [each for each in causes if not (each.code or each.implemented)]
        false = wrong(answer)
        caught += bool(results.failed)
        whole += bool(told) and not untold
        some += bool(told)
        lies += bool(false)
        texts = [each.code or f"{each.implemented} {each.scope}" for each in told]
        notes = [*texts, *["unexplained"] * bool(untold), *[f"WRONG: {each}" for each in false]]
        print(f"  {edit}: {len(results.failed)} failed; {notes}", flush=True)
    n = max(len(edits), 1)
    print(
        f"{kind}: {len(edits)} edits, caught {caught}, explained completely {whole} ({whole / n:.0%}), "
        f"at least one cause {some} ({some / n:.0%}), wrong {lies}, median {sorted(took)[len(took) // 2]:.1f} s"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("singles", nargs="?", type=int, default=100)
    parser.add_argument("pairs", nargs="?", type=int, default=30)
    parser.add_argument("--first", type=int, default=1000, help="the first seed; seeds below 1000 were seen")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.singles)
    measured("single edits", [mutant(seed) for seed in seeds])
    measured("pairs", [pair(seed) for seed in range(options.first, options.first + options.pairs)])


if __name__ == "__main__":
    main()
