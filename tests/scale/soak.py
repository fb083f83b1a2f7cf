"""A soak test: very many cases with random faults through one implementation; nothing lost, nothing left, nothing
grows.

``python tests/scale/soak.py --cases 100000 --seconds 300 --seed 1 --flight 4``

One case in ``--every`` has one of the faults of ``tests/protocol/scripted.py``: crashes, hangs, floods, lies.
Checked: every case is answered once, in order; all others are answered right; every fault has a definite outcome
and a sentence; memory, descriptors, threads and processes at the end are those of the beginning.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))

from protocol_support import command, request

from backprop_check.protocol import Opening, SubprocessImplementation
from backprop_check.protocol.process import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Faults that can happen at any case, and that end by themselves or by the timeout.
FAULTS = (
    "crash", "exit-zero", "exit-seven", "hang", "stubborn", "half-line", "half-line-hang", "no-newline", "invalid-utf8",
    "binary", "noise", "much-noise", "array", "wrong-type", "bad-json", "deep", "huge-numbers", "duplicate-keys",
    "crlf", "endless-line", "endless-lines", "slow-bytes", "twice", "wrong-id", "wrong-then-right", "close-stdin",
    "close-stdout", "orphan", "daemon", "flood-stderr", "texts", "keeps-pipe", "skip",
)  # fmt: skip


def names(cases: int, every: int, seed: int, deadline: float) -> Iterator[str]:
    """Ids of cases, up to that number or until the deadline; those that begin with "bad" name their fault."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    for number in range(cases):
        if time.monotonic() > deadline:
            return
        yield f"bad{number}~{dice.choice(FAULTS)}" if dice.randrange(every) == 0 else f"c{number}"


def state() -> dict[str, float]:
    """The quantities that must not grow."""
    gc.collect()
    process = psutil.Process()
    return {
        "megabytes": process.memory_info().rss / 1e6,
        "descriptors": process.num_fds(),
        "threads": threading.active_count(),
        "processes": len(process.children(recursive=True)),
    }


def soak(cases: int, every: int, seed: int, seconds: float, flight: int) -> dict[str, object]:
    """Run the soak. Raises ``AssertionError`` where an answer was lost, or a process left, or memory grew."""
    began = time.monotonic()
    due: deque[str] = deque()
    kinds: Counter[str] = Counter()
    early: dict[str, float] = {}

    def requests() -> Iterator[tuple[str, bytes]]:
        for name in names(cases, every, seed, began + seconds):
            due.append(name)
            yield request(name)

    answered, most = 0, 0.0
    before = state()
    with SubprocessImplementation(command("mixed", flight=flight), Opening(timeout=0.7, max_restarts=10**9)) as port:
        for answer in port.exchange(requests()):
            expected = due.popleft()
            assert answer.id == expected, f"{answer.id} came where {expected} was due"
            answered += 1
            if answer.id.startswith("bad"):
                kinds[answer.kind] += 1
                assert answer.kind in ("reply", "skip") or answer.message, answer
            else:
                assert answer.kind == "reply", answer
                kinds["right"] += 1
            if answered % 2000 == 0:
                now = state()
                early = early or now
                most = max(most, now["megabytes"])
                # An endless line may be in transit at this moment, up to its limit.
                assert now["megabytes"] < early["megabytes"] + 30 + 2 * MAX_LINE / 1e6, (early, now)
    assert not due
    assert (end := state())["megabytes"] < early.get("megabytes", 1e9) + 15, (early, end)
    deadline = time.monotonic() + 5
    while (after := state())["processes"] > before["processes"] and time.monotonic() < deadline:
        time.sleep(0.1)
    for what in ("descriptors", "threads", "processes"):
        assert after[what] <= before[what], (what, before, after)
    elapsed = time.monotonic() - began
    faults = answered - kinds["right"]
    return {
        "cases": answered, "faults": faults, "outcomes": dict(kinds), "seconds": round(elapsed),
        "most": most, "begin": before, "early": early, "end": after,
    }  # fmt: skip


def main() -> None:
    """As the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--flight", type=int, default=4)
    options = parser.parse_args()
    found = soak(options.cases, options.every, options.seed, options.seconds, options.flight)
    for key, value in found.items():
        print(f"{key}: {value}")  # noqa: T201


if __name__ == "__main__":
    main()
