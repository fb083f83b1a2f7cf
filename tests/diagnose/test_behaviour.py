"""Mistakes that show only in several cases: state, randomness, and orders that must not matter."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import cases
from tiny import SUPPORTS, implementation

from backprop_check import check
from backprop_check.api import Mismatched
from backprop_check.protocol import open_implementation
from backprop_check.running.judging import Run

Json = dict[str, Any]
NAMES = [
    "the same case again",
    "hidden neurons in another order",
    "samples in another order",
    "a batch as the sum of its samples",
]


def checked(function: Any, **options: Any) -> Any:
    function.supports = SUPPORTS
    return check(function, cases=cases()[:24], **options)


def broken(results: Any) -> list[tuple[str, str | None]]:
    return [(each.check, each.code) for each in results.conclusion.failed]


def test_all_of_them_hold_for_a_right_implementation() -> None:
    """Four checks are made, on cases of the run, and all hold."""
    behaviours = checked(implementation()).conclusion.behaviours
    assert [each.check for each in behaviours] == NAMES
    assert all(each.holds for each in behaviours)
    assert {each.case for each in behaviours} <= {case.id for case in cases()}


def test_they_hold_for_most_bugs_too() -> None:
    """A missing derivative is missing in every order: it is not reported as another bug."""
    results = checked(implementation("hidden-derivative-missing"))
    assert broken(results) == []
    assert [cause.code for cause in results.causes] == ["BP102"]


def test_a_callable_that_keeps_state() -> None:
    """BP409: gradients accumulate from call to call. The second answer to one case differs from the first."""
    right, kept = implementation(), {"calls": 0.0}

    def piling(case: Json) -> Json:
        reply = right(case)
        kept["calls"] += 1.0
        for layer in reply["layers"]:
            layer["gradients"]["biases"] = [x + 0.01 * kept["calls"] for x in layer["gradients"]["biases"]]
        return reply

    results = checked(piling)
    assert ("the same case again", "BP409") in broken(results)
    assert results.causes[0].code == "BP409"
    assert {cause.code for cause in results.causes} == {"BP409"}


def test_answers_that_differ_in_their_last_bits_are_a_note() -> None:
    """Some implementations add in the order of a set, as micrograd does: right, and reported with the size of the
    difference.
    """
    right, kept = implementation(), {"calls": 0}

    def drifting(case: Json) -> Json:
        reply = right(case)
        kept["calls"] += 1
        if kept["calls"] % 2:
            for layer in reply["layers"]:
                layer["gradients"]["biases"] = [float(np.nextafter(x, 9.0)) for x in layer["gradients"]["biases"]]
        return reply

    results = checked(drifting)
    assert results.failed == []
    assert broken(results) == []
    results.raise_for_mismatch()
    (note,) = [note for note in results.conclusion.notes if "asked again" in note]
    assert "up to 1 ulp" in note
    assert "within what rounding allows" in note


def test_answers_that_differ_beyond_rounding_are_wrong() -> None:
    """The differences are so small that every case passes with widened bounds, but larger than rounding: state is
    kept.
    """
    right, kept = implementation(), {"calls": 0}

    def drifting(case: Json) -> Json:
        reply = right(case)
        kept["calls"] += 1
        if kept["calls"] % 2:
            reply["loss"] *= 1 + 1e-9
        return reply

    results = checked(drifting, atol=1e-6)
    assert results.failed == []
    assert broken(results) == [("the same case again", "BP409")]
    with pytest.raises(Mismatched, match="BP409"):
        results.raise_for_mismatch()


def port(tmp_path: Path, body: str) -> str:
    """A port in a process of its own: ``tiny``, with its reply changed by ``body``."""
    here = Path(__file__).resolve().parent
    (tmp_path / "port.py").write_text(
        "import json, random, sys\n"
        f"sys.path.insert(0, {str(here)!r})\n"
        "from tiny import SUPPORTS, implementation\n"
        "right, calls = implementation(), 0\n"
        "for line in sys.stdin:\n"
        "    case = json.loads(line)\n"
        "    if case['type'] == 'hello':\n"
        "        reply = {'protocol': 1, 'supports': SUPPORTS}\n"
        "    else:\n"
        "        calls += 1\n"
        "        reply = {**right(case), 'id': case['id']}\n"
        f"        {body}\n"
        "    print(json.dumps(reply), flush=True)\n"
    )
    return f'"{sys.executable}" "{tmp_path / "port.py"}"'


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("reply['loss'] += 0.1 * random.random()", "BP009", "by chance"),
        ("reply['loss'] += 0.1 * calls", "BP409", "gives other numbers"),
        ("pass", None, ""),
    ],
)
def test_chance_is_told_from_state(tmp_path: Path, body: str, code: str | None, said: str) -> None:
    """A process can be restarted: differences that disappear come from kept state, those that stay from randomness."""
    with open_implementation(port(tmp_path, body)) as opened:
        run = Run(opened)
        outcomes = {each.result.outcome for each in run.judge(cases()[:12])}
        conclusion = run.conclude()
    assert outcomes == ({"passed"} if code is None else {"mismatched"})
    assert [each.code for each in conclusion.failed] == ([code] if code else [])
    if code:
        assert said in conclusion.failed[0].message
        assert conclusion.causes[0].code == code
        assert conclusion.causes[0].cases > 0


def test_the_order_of_neurons() -> None:
    """BP013: the last hidden neuron is treated differently from the others."""
    assert ("hidden neurons in another order", "BP013") in broken(checked(implementation("gradient-73")))


def test_the_order_of_samples() -> None:
    """BP014: the first sample counts twice in every gradient, whatever the order."""
    right = implementation()

    def first_twice(case: Json) -> Json:
        reply, alone = right(case), right({**case, "inputs": case["inputs"][:1], "targets": case["targets"][:1]})
        for layer, more in zip(reply["layers"], alone["layers"], strict=True):
            for name in ("weights", "biases"):
                layer["gradients"][name] = np.add(layer["gradients"][name], more["gradients"][name])
        return reply

    assert ("samples in another order", "BP014") in broken(checked(first_twice))


def test_a_batch_is_its_samples() -> None:
    """BP015: gradients divided by the batch size, whatever the reduction, are not a sum."""
    right = implementation()

    def divided(case: Json) -> Json:
        reply = right(case)
        for layer in reply["layers"]:
            layer["gradients"]["biases"] = (np.array(layer["gradients"]["biases"]) / len(case["inputs"])).tolist()
        return reply

    assert ("a batch as the sum of its samples", "BP015") in broken(checked(divided))


def test_nothing_is_claimed_of_what_does_not_answer() -> None:
    """An implementation that answers with errors gets no check of its behaviour."""

    def dead(case: Json) -> Json:
        raise ValueError(case["id"])

    results = checked(dead)
    assert results.conclusion.behaviours == []


def test_a_port_that_dies_at_the_probes_is_not_unreliable() -> None:
    """Where a probe gets no answer the check is left out, not failed."""
    right, rng = implementation(), random.Random(1)  # noqa: S311 - no secret
    done: set[str] = set()

    def once(case: Json) -> Json:
        if case["id"] in done or case["id"].rsplit("-", 1)[1] in set("abcdefgns"):
            raise ValueError(rng.random())
        done.add(case["id"])
        return right(case)

    results = checked(once)
    assert results.failed == []
    assert "the same case again" not in {each.check for each in results.conclusion.behaviours}
    assert broken(results) == []
