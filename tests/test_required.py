"""A run in which nothing was judged does not pass: tables and summaries say what was, and ``--require`` decides."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import called, sentence_of

from backprop_check import Mismatched, check
from backprop_check.case.network import Case
from backprop_check.case.training import OPTIMIZERS
from backprop_check.cases.families import family_case
from backprop_check.cases.generate import generated_case
from backprop_check.cases.training import training_case
from backprop_check.cases.within import supported
from backprop_check.commands.smoke import SMOKE, networks
from backprop_check.errors import ConfigurationError
from backprop_check.functions.names import ACTIVATIONS, ALL_LOSSES, FAMILIES, LEVELS
from backprop_check.kinds import KINDS
from backprop_check.protocol import Supports
from backprop_check.running.coverage import SUITES_OF, Coverage, Requirement, requirements

ROOT = Path(__file__).resolve().parent
README = (ROOT.parent / "README.md").read_text(encoding="utf-8")

#: A module with callables: the bundled port with several claims.
CALLABLES = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import small_port

def right(case):
    return small_port.right(case)

right.supports = {{"layers": ["dense"], "activations": ["identity", "relu"], "optimizers": ["sgd"]}}

def nothing(case):
    return small_port.right(case)

nothing.supports = {{"activations": []}}

def shallow(case):
    return small_port.right(case) if len(case["network"]["layers"]) < 3 else {{"skip": "too deep"}}

def lazy(case):
    return {{"skip": "not today"}}

def relu(case):
    return small_port.right(case)

relu.supports = {{"activations": ["relu"], "losses": ["mean_squared_error"], "batch": False}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the callables, and a state folder of its own."""
    (tmp_path / "claims_of.py").write_text(CALLABLES)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


GENERATED = ("--suite", "generated", "--cases", "6", "--no-cache")


# The words ----------------------------------------------------------------------------------------


def test_a_level_is_its_name_or_its_number_in_readme() -> None:
    assert requirements(["graph", "3", "graph"]) == (Requirement("level", "graph"),)
    rows = [line.split("|")[1].split() for line in README.splitlines() if line.startswith("| ") and " files, " in line]
    assert [requirements([number])[0].name for number, _ in rows] == [name for _, name in rows] == list(LEVELS)
    assert set(SUITES_OF) == set(LEVELS)


def test_every_word_of_the_vocabulary_can_be_required() -> None:
    """No word has two meanings except ``dense``: the level, whose cases have that kind anyway."""
    words = [*LEVELS, *KINDS, *ACTIVATIONS, *ALL_LOSSES, *OPTIMIZERS]
    assert len(set(words)) == len(words) - 1
    assert [each.name for each in requirements(words)] == list(dict.fromkeys(words))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Conv2d", "did you mean conv2d?"),
        ("mse", "did you mean mean_squared_error?"),
        ("trainings", "did you mean training"),
        ("8", "or its number"),
        ("0", "or its number"),
        ("cases=0", "at least 1"),
        ("cases=many", "a whole number"),
        ("\x1b[31m", "\\x1b[31m"),
    ],
)
def test_an_unknown_word_is_refused_with_the_nearest(word: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        requirements([word])
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("case", "met"),
    [
        (generated_case(3), "dense"),
        (training_case(3), "training"),
        (family_case("graph", 0), "graph"),
        *((family_case(family, 0), family) for family in FAMILIES if family != "graph"),
    ],
)
def test_a_case_meets_what_it_has(case: Case, met: str) -> None:
    """Its level, kinds, activations, loss and optimizer, if it passes; nothing if it fails or is skipped."""
    words = {met, case.loss.kind, *({layer.kind for layer in case.network.layers} - {"dense"})}
    words |= {layer.activation for layer in case.network.layers if layer.activations}
    words |= {case.optimizer.kind} if case.optimizer is not None else set()
    within = supported(Supports())
    for outcome in ("passed", "mismatched", "skipped", "not_applicable"):
        coverage = Coverage(requirements(sorted(words)))
        coverage.add("", outcome, lambda: case)
        assert (coverage.unmet(within) == []) == (outcome == "passed")


def test_a_chain_is_no_graph_and_trains_nothing() -> None:
    coverage = Coverage(requirements(LEVELS))
    coverage.add("generated", "passed", lambda: generated_case(3))
    assert len(coverage.unmet(supported(Supports()))) == len(LEVELS) - 1


# In Python ----------------------------------------------------------------------------------------


def test_check_says_why_it_was_not_judged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not claimed, skipped, wrong, or no such case."""
    monkeypatch.chdir(folder)
    suites = ("published", "generated")
    words = ["gru", "relu", "tanh", "graph", "cases=100000", "adam", "identity"]
    results = check("python:claims_of:right", cases=6, suites=suites, require=words)
    assert not results.failed
    assert results.conclusion.unmet == [
        "the kind gru is required, but the implementation does not claim it (supports.layers)",
        "the activation tanh is required, but the implementation does not claim it (supports.activations)",
        "the level graph is required, but the implementation does not claim it (layers, optimizers and features)",
        f"at least 100000 judged cases are required, {results.summary.counts['passed']} were judged",
        "the optimizer adam is required, but the implementation does not claim it (supports.optimizers)",
    ]
    assert results.to_dict()["unmet"] == results.conclusion.unmet
    with pytest.raises(Mismatched, match="the kind gru is required"):
        results.raise_for_mismatch()

    (unmet,) = check("python:claims_of:lazy", cases=4, suites="generated", require="dense").conclusion.unmet
    assert unmet == "the level dense is required, but the implementation skipped all 4 cases with it"

    def wrong(case: dict[str, Any]) -> dict[str, Any]:
        return {"error": case["id"]}

    (unmet,) = check(wrong, cases=4, suites="generated", require=["dense"]).conclusion.unmet
    assert unmet == "the level dense is required, but none of the 4 cases with it is right"
    (unmet,) = check("python:claims_of:right", cases=[generated_case(0)], require=["relu"]).conclusion.unmet
    assert "no case with it was judged: ask for more cases" in unmet
    with pytest.raises(ConfigurationError, match="did you mean leaky_relu"):
        check(wrong, require=["leakyrelu"])


# On the command line ------------------------------------------------------------------------------


def test_a_run_fails_where_something_required_was_not_judged(folder: Path) -> None:
    """With a sentence for each, in the terminal and in the results; everything else is unchanged."""
    plain = called(folder, "run", "python:claims_of:right", *GENERATED)
    assert plain.exit_code == 0, plain.output
    met = called(folder, "run", "python:claims_of:right", *GENERATED, "--require", "relu", "--require", "cases=6")
    assert met.exit_code == 0, met.output
    more = ("--require", "2", "--require", "cases=7", "--json", "r.json")
    done = called(folder, "run", "python:claims_of:right", *GENERATED, *more)
    assert done.exit_code == 1, done.output
    said = " ".join(done.output.split())
    assert "FAIL the level training is required, but the implementation does not claim it" in said
    assert "FAIL at least 7 judged cases are required, 6 were judged." in said
    assert len(json.loads((folder / "r.json").read_text())["unmet"]) == 2


def test_a_resumed_run_requires_the_same(folder: Path) -> None:
    """Results that a run finds in its file count: relu among them."""
    command = ("run", "python:claims_of:shallow", *GENERATED, "--json", "r.json", "--require", "cases=4")
    first = called(folder, *command)
    text = (folder / "r.json").read_text()
    lines = text.splitlines(keepends=True)
    (folder / "r.json").write_text("".join(lines[:4]))
    again = called(folder, *command, "--resume")
    assert again.exit_code == first.exit_code == 1
    sentence = "at least 4 judged cases are required, "
    assert first.output.split(sentence)[1] == again.output.split(sentence)[1]


def test_a_single_run_says_what_was_skipped_and_what_is_not_claimed(folder: Path) -> None:
    done = called(folder, "run", "python:claims_of:shallow", *GENERATED)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert " skipped" in said
    assert (
        "levels judged: dense; not claimed: training, graph, convolution, recurrent, normalisation, attention" in said
    )
    lazy = called(folder, "run", "python:claims_of:lazy", *GENERATED)
    assert lazy.exit_code == 1
    assert "levels skipped: dense; not claimed: training," in " ".join(lazy.output.split())


def test_known_failures_excuse_no_run_without_a_verdict(folder: Path) -> None:
    """Where nothing was judged, it does not help that every failure is known."""
    (folder / "known.toml").write_text("")
    good = called(folder, "run", "python:claims_of:right", *GENERATED, "--known", "known.toml")
    assert good.exit_code == 0, good.output
    lazy = called(folder, "run", "python:claims_of:lazy", *GENERATED, "--known", "known.toml")
    assert lazy.exit_code == 1
    assert "Every failure is known" not in lazy.output


def test_unknown_words_are_usage_errors(folder: Path) -> None:
    for more in ([], ["--all"]):
        impl = [] if more else ["python:claims_of:right"]
        (folder / "backprop-check.toml").write_text("[implementations.one]\npython = 'claims_of:right'\n")
        assert "did you mean conv2d?" in sentence_of(folder, "run", *impl, *more, "--require", "Conv2d", code=2)
    assert "leave out --require" in sentence_of(
        folder, "run", "python:claims_of:right", "--exercise", "--require", "dense", code=2
    )


def test_the_configuration_requires_too(folder: Path) -> None:
    """For all configured implementations, and for one; by ``run NAME``, ``run --all`` and ``check``."""
    path = folder / "backprop-check.toml"
    path.write_text(
        "require = ['relu']\n[implementations.one]\npython = 'claims_of:right'\n"
        "[implementations.two]\npython = 'claims_of:right'\nrequire = ['gru']\n"
    )
    assert called(folder, "run", "one", *GENERATED).exit_code == 0
    two = called(folder, "run", "two", *GENERATED)
    assert two.exit_code == 1
    assert "the kind gru is required" in two.output
    both = called(folder, "run", "--all", *GENERATED)
    assert both.exit_code == 1
    assert "1 of 2 conform." in both.output
    path.write_text("require = ['GRU']\n")
    assert "at require: --require GRU" in sentence_of(folder, "run", "one", code=2)
    path.write_text("require = 'gru'\n")
    assert "at require: expected a list of texts" in sentence_of(folder, "run", "one", code=2)


def test_a_submission_that_was_not_judged_does_not_conform(folder: Path) -> None:
    """Exit 1; the table has columns for judged, skipped and not claimed, and the reason."""
    for name in ("claimant", "lazybones", "worker"):
        what = {"claimant": "nothing", "lazybones": "lazy", "worker": "shallow"}[name]
        (folder / "in").mkdir(exist_ok=True)
        (folder / "in" / f"{name}.py").write_text(
            f"import json, sys\nsys.path.insert(0, {str(folder)!r})\nimport claims_of\nf = claims_of.{what}\n"
            "for line in sys.stdin:\n"
            "    case = json.loads(line)\n"
            "    reply = {'protocol': 1, 'supports': getattr(f, 'supports', {})}\n"
            "    if case['type'] == 'case':\n"
            "        reply = {'id': case['id'], **f(case)}\n"
            "    print(json.dumps(reply), flush=True)\n"
        )
    command = f'"{sys.executable}" {{}}'
    run = ("run", "--submissions", "in", "--command", command, "--suite", "generated", "--cases", "6", "--no-cache")
    done = called(folder, *run, "--json", "out")
    assert done.exit_code == 1, done.output
    assert "1 of 3 conform." in done.output
    rows = {line.split()[0]: line.split() for line in done.output.splitlines() if line.startswith(("cl", "la", "wo"))}
    # right/judged, judged, skipped, not claimed
    assert rows["claimant.py"][1:5] == ["–", "0", "0", "0"]
    assert rows["lazybones.py"][1:5] == ["–", "0", "6", "0"]
    judged = int(rows["worker.py"][2])
    assert 0 < judged < 6
    assert rows["worker.py"][1:5] == [f"{judged}/{judged}", str(judged), str(6 - judged), "0"]
    said = " ".join(done.output.split())
    assert "nothing was judged: it claims none of these cases" in said
    assert "nothing was judged: it skipped all 6 cases that it claims" in said
    assert f"ok worker.py: {judged} of {judged} cases right, {6 - judged} skipped" in said
    more = called(folder, *run, "--json", "out", "--resume", "--require", "cases=6")
    assert "0 of 3 conform." in more.output
    assert "at least 6 judged cases are required" in " ".join(more.output.split())


# Smoke --------------------------------------------------------------------------------------------


def test_smoke_takes_networks_of_what_is_claimed(folder: Path) -> None:
    """A port that claims ReLU gets networks with ReLU."""
    done = called(folder, "smoke", "python:claims_of:relu")
    assert done.exit_code == 0, done.output
    assert done.output.count("ok  ") == 3
    assert "The port works" in done.output
    made = networks(supported(Supports(activations=["relu"], losses=["mean_squared_error"], batch=False)))
    assert {layer.activation for case in made for layer in case.network.layers} == {"relu"}
    assert [len(case.inputs) for case in made] == [1, 1]


def test_smoke_says_when_nothing_was_checked(folder: Path) -> None:
    """And fails: for a port that skips everything, and for one that claims nothing."""
    for name, why in (("lazy", "the port skipped every network"), ("nothing", "the port claims (supports) no layer")):
        done = called(folder, "smoke", f"python:claims_of:{name}")
        assert done.exit_code == 1, done.output
        assert f"Nothing was checked: {why}" in " ".join(done.output.split())
        assert "The port works" not in done.output


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_smoke_has_networks_of_any_pair(activation: str) -> None:
    for loss in ALL_LOSSES:
        within = supported(Supports(activations=[activation], losses=[loss]))
        made = networks(within)
        assert bool(made) == within.has_chains()
        assert all(within.has(case) for case in made)
    assert [case.name for case in networks(supported(Supports(layers=["lstm"])))]
    assert [case.id for case in networks(supported(Supports()))] == [Case.from_dict(each).id for each in SMOKE]


# On the page --------------------------------------------------------------------------------------


def test_the_page_says_what_was_required_and_not_judged() -> None:
    """In its verdict, which is then not a pass."""

    def right(case: dict[str, Any]) -> dict[str, Any]:
        import small_port  # noqa: PLC0415 - it changes the path that modules are found on

        answer: dict[str, Any] = small_port.right(case)
        return answer

    for require, sign in ((["dense"], "✓"), (["dense", "cases=9"], "✕")):
        shown = check(right, cases=2, suites="generated", require=require)._repr_html_()
        assert sign in shown
        assert ("But at least 9 judged cases are required, 2 were judged." in shown) == (sign == "✕")
