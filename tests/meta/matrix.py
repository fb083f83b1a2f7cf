"""Every planted bug × seeds × {full report, gradients only}, and those outside the catalogue: caught? named?

``python tests/meta/matrix.py --seeds 3 --cases 200 --jobs 2 --json matrix.json``. It reads only the results files that
the command line writes. A run counts if any number of any reply is clearly wrong; bugs that no case shows are listed
separately.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from naming import claimed, names_all, names_wrong
from outside import OUTSIDE
from planted import PLANTED
from running import broken_replies, can_be_seen, is_right_place, right_replies, run_planted

BUGS = {planted.id: planted for planted in [*PLANTED, *OUTSIDE]}


class Task(NamedTuple):
    """One run of the matrix."""

    bug: str
    seed: int
    cases: int
    gradients_only: bool
    cost: bool


def measure(task: Task) -> dict[str, Any]:
    """Run one bug, and judge what the results file says."""
    planted = BUGS[task.bug]
    only = task.gradients_only
    right = {r["id"]: r for r in right_replies(planted, task.cases, task.seed, gradients_only=only)}
    broken = {r["id"]: r for r in broken_replies(planted, task.cases, task.seed, gradients_only=only)}
    started = time.perf_counter()
    run = run_planted(planted, seed=task.seed, cases=task.cases, gradients_only=only)
    seconds = time.perf_counter() - started
    sent = [case for case in run.results["cases"] if case["outcome"] not in ("skipped", "not_applicable")]
    seen = {case["id"] for case in sent if can_be_seen(right[case["id"]], broken[case["id"]])}
    failed = {case["id"] for case in run.failed}
    firsts = [case for case in run.failed if case["outcome"] == "mismatched"] if planted.repeatable else []
    places = [is_right_place(case["first_wrong"], right[case["id"]], broken[case["id"]]) for case in firsts]
    bare = None
    if task.cost:
        started = time.perf_counter()
        run_planted(planted, seed=task.seed, cases=task.cases, gradients_only=only, diagnosis=False)
        bare = time.perf_counter() - started
    return {
        **task._asdict(),
        "code": planted.code,
        "shown_by": len(seen) if planted.repeatable and not planted.options else None,
        "caught": run.exit_code == 1,
        "missed_cases": sorted(seen - failed) if planted.repeatable else [],
        "blamed_innocent": sorted(failed - seen) if planted.repeatable and not planted.options and planted.code else [],
        "named": bool(planted.code) and names_all(planted, run.results),
        "wrong_name": [sorted(cause) for cause in names_wrong(planted, run.results)],
        "claimed": [sorted(cause) for cause in claimed(run.results)],
        "first_right": sum(places),
        "first_of": len(places),
        "seconds": round(seconds, 3),
        "seconds_without_diagnosis": bare and round(bare, 3),
    }


def counts(row: dict[str, Any]) -> bool:
    """Whether any case shows the bug. Bugs of randomness and of the messages always count."""
    return row["shown_by"] is None or row["shown_by"] > 0


def share(rows: list[dict[str, Any]], key: str) -> str:
    """How many of the rows have a true value there, and in percent."""
    have = sum(bool(row[key]) for row in rows)
    return f"{have}/{len(rows)} ({100 * have / len(rows):.1f}%)" if rows else "none"


def totals(rows: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """The figures of the summary, by mode."""
    found: dict[str, dict[str, str]] = {}
    for mode, only in (("full", False), ("gradients only", True)):
        mine = [row for row in rows if row["gradients_only"] is only and row["code"]]
        shown = [row for row in mine if counts(row)]
        outside = [row for row in rows if row["gradients_only"] is only and not row["code"] and counts(row)]
        single = [row for row in shown if "+" not in row["code"]]
        pairs = [row for row in shown if "+" in row["code"]]
        right, of = sum(row["first_right"] for row in shown), sum(row["first_of"] for row in shown)
        found[mode] = {
            "runs": str(len(mine)),
            "no case shows it": str(len(mine) - len(shown)),
            "caught": share(shown, "caught"),
            "named": share(shown, "named"),
            "named, single bugs": share(single, "named"),
            "named, pairs": share(pairs, "named"),
            "a wrong name": share(shown, "wrong_name"),
            "first wrong neuron right": f"{right}/{of}",
            "an innocent case blamed": share(shown, "blamed_innocent"),
            "outside the catalogue: caught": share(outside, "caught"),
            "outside the catalogue: a name given": share(outside, "claimed"),
            "seconds": f"{sum(row['seconds'] for row in mine):.1f}",
        }
    return found


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    mode = "gradients" if row["gradients_only"] else "full"
    shown = "-" if row["shown_by"] is None else str(row["shown_by"])
    if not counts(row):
        verdict = "no case shows it"
    else:
        names = " ".join("=".join(cause) for cause in row["claimed"]) or "no name"
        fits = "named" if row["named"] else "not named" if row["code"] else "outside"
        verdict = f"{'caught' if row['caught'] else 'MISSED':8}{fits:11}{'WRONG ' if row['wrong_name'] else ''}{names}"
    first = f"{row['first_right']}/{row['first_of']}"
    return f"{row['bug'][:66]:67}{row['seed']:>2} {mode:10}{shown:>4} {first:>9} {row['seconds']:6.1f}s  {verdict}"


def main() -> int:
    """Run the matrix."""
    parser = argparse.ArgumentParser(description="Every planted bug, and what is said of it.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--bugs", default="", help="only those whose id holds one of these words")
    parser.add_argument("--mode", choices=["both", "full", "gradients"], default="both")
    parser.add_argument("--cost", action="store_true", help="run without diagnosis as well, to see what it costs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    words = options.bugs.split()
    modes = {"both": (False, True), "full": (False,), "gradients": (True,)}[options.mode]
    tasks = [
        Task(bug, seed, options.cases, only, options.cost)
        for seed in range(options.seeds)
        for bug, planted in BUGS.items()
        if (not words or any(word in bug for word in words)) and (seed == 0 or planted.suite == "generated")
        for only in modes
    ]
    rows = []
    print(f"{'bug':67}seed report shown  first ok    time")  # noqa: T201
    with ProcessPoolExecutor(options.jobs) as pool:
        for row in pool.map(measure, tasks):
            rows.append(row)
            print(line(row), flush=True)  # noqa: T201
            if options.json:  # an interrupted run leaves the rows that it has
                options.json.write_text(json.dumps({"totals": totals(rows), "rows": rows}, indent=1), encoding="utf-8")
    for mode, found in totals(rows).items():
        print(f"\n{mode}")  # noqa: T201
        for what, value in found.items():
            print(f"  {what:38}{value}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
