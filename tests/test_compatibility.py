"""Files and ports of an earlier version still work: a results file that it wrote, and a port with its claims."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from backprop_check.case.network import Case
from backprop_check.cases.plan import select_cases
from backprop_check.cases.within import supported
from backprop_check.cli import main
from backprop_check.protocol.messages import Supports

OLD = Path(__file__).parent / "kept" / "results-0.1.0.json"
KEPT = json.loads(OLD.read_text(encoding="utf-8"))

#: The claims of the port in that file.
CLAIMED = {"layers": ["dense"], "activations": ["sigmoid"], "losses": ["half_squared_error"], "optimizers": ["sgd"]}

#: The requests of level 1 (published files and the first 40 generated cases, seed 0) as they were in version 0.1.0.
LEVEL_1 = "bec6a374a80934a90fe5d5f82926538d5230411231e0b7aaa5403eaf2d82a8bd"


def test_an_old_results_file_is_shown(tmp_path: Path) -> None:
    """Its page has all its cases."""
    page = tmp_path / "old.html"
    done = CliRunner().invoke(main, ["report", str(OLD), "--html", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert all(case["id"] in text for case in KEPT["cases"] if case["outcome"] == "mismatched")


def test_cases_of_an_old_file_are_cases() -> None:
    """A failing case, kept with its numbers, is read, and has the same id."""
    kept = [(case["id"], case["case"]) for case in KEPT["cases"] if case["case"] is not None]
    assert len(kept) > 2
    for name, case in kept:
        assert Case.from_dict(case).id == name


def test_suites_keep_their_cases() -> None:
    """The run that wrote the file would be sent the same cases today, and perhaps more."""
    known = {case["id"] for case in KEPT["cases"]}
    claimed = msgspec.convert(CLAIMED, Supports)
    now = {case.id for case in select_cases(["published", "generated"], 4, within=supported(claimed))}
    assert known <= now


def test_a_port_that_claims_nothing_gets_the_requests_that_it_always_got() -> None:
    """An old port has no lists: it is sent level 1, in exactly the same bytes as then."""
    digest = hashlib.sha256()
    for case in select_cases(["published", "generated"], 40, within=supported(Supports())):
        digest.update(case.request() + b"\n")
    assert digest.hexdigest() == LEVEL_1


@pytest.mark.parametrize("word", ["layers", "activations", "losses", "optimizers", "features"])
def test_a_new_word_changes_nothing_for_a_port_without_it(word: str) -> None:
    """A port that gives one list only is sent no more than before for the others."""
    named: dict[str, list[str]] = {
        "layers": ["dense"],
        "activations": ["tanh"],
        "losses": ["squared_error"],
        "optimizers": ["sgd"],
        "features": [],
    }
    plain = {case.id for case in select_cases(["generated"], 60, within=supported(Supports()))}
    fewer = select_cases(["generated"], 60, within=supported(msgspec.convert({word: named[word]}, Supports)))
    for case in fewer:
        assert {layer.kind for layer in case.network.layers} == {"dense"}
        assert case.optimizer is None or case.optimizer.kind == "sgd"
    assert plain
