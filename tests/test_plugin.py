"""The pytest plugin, by running pytest in folders of its own."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from command_line import small_port
from conventional import conventional

# A pytest inside this one removes the modules it imported, but numpy cannot be imported twice: without these imports a
# second run inside ends in a segmentation fault.
for heavy in ("api", "commands.judging", "pytest_items", "report.html", "witness.autograd"):
    importlib.import_module(f"backprop_check.{heavy}")

pytest_plugins = ["pytester"]

ODD = Path(__file__).parent / "scale" / "odd_port.py"
GENERATED = ("--backprop-check", "--backprop-suite=generated", "-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def configure(pytester: pytest.Pytester, **faults: str) -> None:
    """Configure ports with these faults by name; ``--lf`` and the root folder are pytester's."""
    tables = [
        f"[tool.backprop-check.implementations.{name}]\ncommand = {json.dumps(small_port(fault))}\n"
        for name, fault in faults.items()
    ]
    pytester.path.joinpath("pyproject.toml").write_text("\n".join(["[tool.pytest.ini_options]", *tables]))


def run(pytester: pytest.Pytester, *arguments: str, cases: int = 4) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*GENERATED, f"--backprop-cases={cases}", *arguments)


def collected(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line and " " not in line]


def results(folder: Path, name: str = "r.json") -> Any:
    return json.loads((folder / name).read_text())


def test_collected_ids(pytester: pytest.Pytester) -> None:
    """``name::case-id``, ASCII, no brackets; one item per case and implementation, also for one that cannot be
    started.
    """
    configure(pytester, one="right")
    with (pytester.path / "pyproject.toml").open("a") as file:
        file.write('[tool.backprop-check.implementations.two]\ncommand = "no-such-program"\n')
    found = collected(run(pytester, "--collect-only", "-q"))
    assert len(found) == 8
    assert len(set(found)) == 8
    for name in found:
        assert re.fullmatch(r"(one|two)::mlp-[a-z0-9.-]+", name), name


def _odd(pytester: pytest.Pytester, **options: object) -> Path:
    """Configure the odd port, which appends its process id to a file."""
    pids = pytester.path / "pids"
    command = [sys.executable, str(ODD), f"pid={pids}", *(f"{key}={value}" for key, value in options.items())]
    table = f"[implementations.odd]\ncommand = {json.dumps(shlex.join(command))}\n"
    (pytester.path / "backprop-check.toml").write_text(table)
    return pids


def test_generated_cases_keep_to_what_is_supported(pytester: pytest.Pytester) -> None:
    """As with run and check: all are judged. One process serves for collecting and running."""
    pids = _odd(pytester, supports="tanh")
    found = run(pytester, "-v", cases=8)
    found.assert_outcomes(passed=8)
    assert len(pids.read_text().split()) == 1
    assert len([line for line in found.outlines if "odd::mlp-" in line and "-tanh-" in line]) == 8


@pytest.mark.thorough
def test_xdist_workers_collect_the_same(pytester: pytest.Pytester) -> None:
    """The ids are those of one process; the controller asks once what is supported."""
    pids = _odd(pytester, supports="tanh,relu")
    alone = collected(run(pytester, "--collect-only", "-q", cases=6))
    pids.unlink()
    found = pytester.runpytest_subprocess(*GENERATED, "--backprop-cases=6", "-n", "2", "-v")
    found.assert_outcomes(passed=6)
    ran = {line.split()[-1] for line in found.outlines if "PASSED" in line}
    assert ran == set(alone)
    assert 2 <= len(pids.read_text().split()) <= 3


def test_what_the_witnesses_said_is_kept(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run does not compute them again."""
    monkeypatch.setenv("BACKPROP_CHECK_CACHE", str(pytester.path / "cache"))
    configure(pytester, mine="right")
    run(pytester).assert_outcomes(passed=4)
    assert len(list((pytester.path / "cache").glob("*.chunk"))) == 4
    monkeypatch.setattr("backprop_check.running.chunks.witnesses", None)
    run(pytester).assert_outcomes(passed=4)


def test_published_cases_start_nothing_to_be_collected(pytester: pytest.Pytester) -> None:
    """The published cases do not depend on the claims."""
    pids = _odd(pytester)
    pytester.runpytest_inprocess("--backprop-check", "--backprop-suite=published", "--collect-only", "-q")
    assert not pids.exists()


def test_without_the_switch_nothing_changes(pytester: pytest.Pytester) -> None:
    """The user's tests alone, not even a wrong configuration is read."""
    pytester.path.joinpath("pyproject.toml").write_text("[tool.backprop-check]\nwrong = 1\n")
    pytester.makepyfile("def test_mine(): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert "backprop" not in "\n".join(line for line in result.outlines if not line.startswith(("plugins:", "rootdir")))


def test_the_users_tests_run_beside(pytester: pytest.Pytester) -> None:
    """With the switch: the user's tests first, then the cases; each counts."""
    configure(pytester, mine="right")
    pytester.makepyfile("def test_mine(): pass")
    result = run(pytester, "-v")
    result.assert_outcomes(passed=5)
    lines = [line for line in result.outlines if "PASSED" in line]
    assert "test_mine" in lines[0]
    assert lines[1].startswith("mine::mlp-")


def test_select_by_k_node_id_and_marker(pytester: pytest.Pytester) -> None:
    """``-k``, a node id (or the implementation) as an argument, ``-m backprop``."""
    configure(pytester, mine="right", other="right")
    pytester.makepyfile("def test_mine(): pass")
    ids = [name for name in collected(run(pytester, "--collect-only", "-q")) if name.startswith(("mine", "other"))]
    number = re.search(r"-(s\d{4})-", ids[2])
    assert number is not None
    assert sorted(collected(run(pytester, "-k", number[1], "--collect-only", "-q"))) == sorted([ids[2], ids[6]])
    assert collected(run(pytester, ids[1], "--collect-only", "-q")) == [ids[1]]
    assert collected(run(pytester, "other", "--collect-only", "-q")) == ids[4:]
    assert collected(run(pytester, "-m", "backprop", "--collect-only", "-q")) == ids
    run(pytester, ids[1]).assert_outcomes(passed=1)
    mine = run(pytester, "-m", "not backprop")
    mine.assert_outcomes(passed=1, deselected=8)


def test_a_node_id_that_is_not_there(pytester: pytest.Pytester) -> None:
    """A misspelt case is an error, as a misspelt test is: it must not pass by running nothing."""
    configure(pytester, mine="right")
    result = run(pytester, "mine::mlp-typo")
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "passed" not in result.outlines[-1]


def test_last_failed(pytester: pytest.Pytester) -> None:
    """``--lf`` runs the failures again; once they are fixed they pass."""
    configure(pytester, mine="hidden")
    options = ("--backprop-check", "--backprop-suite=generated", "--backprop-cases=6")
    first = pytester.runpytest_inprocess(*options)
    counts = first.parseoutcomes()
    assert counts["failed"] >= 2
    assert counts["passed"] >= 1
    again = pytester.runpytest_inprocess(*options, "--lf")
    assert again.parseoutcomes().get("failed") == counts["failed"]
    assert "passed" not in again.parseoutcomes()
    configure(pytester, mine="right")
    pytester.runpytest_inprocess(*options, "--lf").assert_outcomes(passed=counts["failed"])


@pytest.mark.thorough
def test_xdist_gives_the_same_report(pytester: pytest.Pytester) -> None:
    """``-n 2``: the same JSON as one process, except for times, arguments and notes on processes."""
    configure(pytester, mine="hidden")
    texts, outputs = [], []
    for options in ([], ["-n", "2"]):
        result = run(pytester, "--backprop-json=r.json", *options, cases=10)
        assert result.ret == 1
        data = results(pytester.path)
        data["harness"].pop("argv")
        for case in data["cases"]:
            case.pop("seconds")
        texts.append(json.dumps(data, indent=1, sort_keys=True))
        outputs.append(result.stdout.str())
    assert texts[0] == texts[1]
    for text in outputs:
        assert text.count("backprop-check: mine") == 1
        assert text.count("BP102  hidden derivative missing") == 1
        assert text.count("results: ") == 1


def test_the_results_file(pytester: pytest.Pytester) -> None:
    """Complete, in the order of the cases, with the diagnosis; one file per implementation where there are several."""
    configure(pytester, mine="hidden")
    run(pytester, "--backprop-json=out/r.json", "--backprop-html=out/r.html", cases=10)
    data = results(pytester.path / "out")
    assert data["summary"]["complete"] is True
    assert data["summary"]["cases"] == len(data["cases"]) == 10
    numbers = [re.search(r"-s(\d{4})-", case["id"]) for case in data["cases"]]
    assert [int(number[1]) for number in numbers if number] == list(range(10))
    assert [cause["code"] for cause in data["diagnoses"]] == ["BP102"]
    failing = [case for case in data["cases"] if case["outcome"] == "mismatched"]
    assert {tuple(case["diagnosis"]) for case in failing} == {("hidden-derivative-missing",)}
    assert "BP102" in (pytester.path / "out" / "r.html").read_text()
    configure(pytester, mine="right", yours="right")
    run(pytester, "--backprop-json=r.json", cases=2)
    assert {path.name for path in pytester.path.glob("r*.json")} == {"r-mine.json", "r-yours.json"}


@pytest.mark.parametrize("workers", [[], pytest.param(["-n", "2"], marks=pytest.mark.thorough)])
def test_junit_tells_no_expected_value_of_what_passes(pytester: pytest.Pytester, workers: list[str]) -> None:
    """pytest's own JUnit file: one test per case, with no property; the results file still has each item's findings."""
    configure(pytester, mine="right")
    run(pytester, "--junitxml=j.xml", "--backprop-json=r.json", *workers, cases=3).assert_outcomes(passed=3)
    tests = list(ET.parse(pytester.path / "j.xml").iter("testcase"))  # noqa: S314 - our own
    assert len(tests) == 3
    for test in tests:
        assert list(test) == []
        assert set(test.attrib) == {"classname", "name", "time"}
    assert results(pytester.path)["summary"]["passed"] == 3


def test_failure_texts(pytester: pytest.Pytester) -> None:
    """In full: the table of values; with ``--tb=line`` one line; never a traceback of the plugin."""
    configure(pytester, mine="hidden")
    whole = run(pytester, cases=10).stdout.str()
    assert "MISMATCHED  mlp-" in whole
    assert "expected" in whole
    assert "first wrong value" in whole
    assert "follows from it" in whole
    assert "Traceback" not in whole
    assert "pytest_items.py" not in whole
    assert " - mismatched: first wrong value" in whole  # the short summary
    short = run(pytester, "--tb=line", cases=10)
    failures = [line for line in short.outlines if line.startswith("mismatched: first wrong value: the delta")]
    assert len(failures) == short.parseoutcomes()["failed"]
    assert "follows from it" not in "\n".join(short.outlines).split("backprop-check: mine")[0]


def test_skipped_and_errors(pytester: pytest.Pytester) -> None:
    """A skip of the port is a skip of pytest; its errors and invalid replies fail; escapes never reach the terminal."""
    configure(pytester, mine="bad")
    result = run(pytester, "-rs", cases=8)
    result.assert_outcomes(passed=2, skipped=2, failed=4)
    text = result.stdout.str()
    assert "\\x1b[31m" in text
    assert "\x1b[31m]]>" not in text


def test_an_implementation_that_cannot_be_run(pytester: pytest.Pytester) -> None:
    """Each case fails with the sentence, not with a traceback of the plugin."""
    result = run(pytester, "--backprop-impl=no-such-program-anywhere", cases=2)
    assert result.ret == 1
    text = result.stdout.str()
    assert 'the command "no-such-program-anywhere" was not found\nhint: install it, put it on PATH' in text
    assert "error code: command-not-found" in text
    assert "Traceback" not in text
    assert "open_configured" not in text


@pytest.mark.parametrize(
    ("config", "arguments", "said"),
    [
        ("[tool.backprop-check]\nimplementaions = {}\n", [], "did you mean 'implementations'?"),
        ("[tool.backprop-check.implementations.x]\ncomand = 'y'\n", [], "implementations.x.comand"),
        ("", [], "found nothing to judge"),
        ("", ["--backprop-impl=python:json:loads", "--backprop-suite=nonsense"], "nonsense"),
        ("", ["--backprop-impl=python:json:loads", "--backprop-cases=many"], "--backprop-cases"),
        ("", ["--backprop-impl=python:json:loads", "--backprop-profile=loose"], "--backprop-profile"),
        ("", ["--backprop-impl='unclosed"], "cannot be split"),
    ],
)
def test_usage_errors(pytester: pytest.Pytester, config: str, arguments: list[str], said: str) -> None:
    """One sentence and pytest's exit code for a wrong call."""
    pytester.path.joinpath("pyproject.toml").write_text(f"[tool.pytest.ini_options]\n{config}")
    result = pytester.runpytest_inprocess("--backprop-check", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str() + result.stdout.str()
    assert said in text
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text


def test_fixtures(pytester: pytest.Pytester) -> None:
    """``check_backprop`` passes and fails tests; ``backprop_case`` gives each case to a test of the user's own."""
    pytester.syspathinsert(str(Path(__file__).parent))
    pytester.makepyfile(
        """
        import pytest
        import small_port

        def test_right(check_backprop):
            results = check_backprop(small_port.right, cases=6, suites=["generated"])
            assert results.summary.counts["passed"] == 6

        def test_wrong(check_backprop):
            check_backprop(small_port.hidden, cases=10, suites=["generated"])

        @pytest.mark.backprop
        def test_own(backprop_case):
            assert backprop_case.network.layers
        """
    )
    result = pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "--strict-markers", "--backprop-suite=generated", "--backprop-cases=3"
    )
    result.assert_outcomes(passed=4, failed=1)
    text = result.stdout.str()
    assert "BP102" in text
    assert "judged cases fail" in text
    result = pytester.runpytest_inprocess("-m", "backprop", "--backprop-suite=generated", "--backprop-cases=3")
    result.assert_outcomes(passed=3, deselected=2)


def test_replay(pytester: pytest.Pytester) -> None:
    """The kept failures instead of the suites."""
    from test_replay import kept  # noqa: PLC0415 - a helper of that file

    case = kept(pytester.path, "hidden")
    configure(pytester, mine="hidden")
    result = pytester.runpytest_inprocess("--backprop-replay", "-v", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    assert f"mine::{case.id}" in result.stdout.str()
    configure(pytester, mine="right")
    pytester.runpytest_inprocess("--backprop-replay", "-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_plain_run_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    """The plugin is installed and not asked for: no torch, numpy, pandas, jinja2 or rich."""
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            never = {"torch", "numpy", "pandas", "jinja2", "hypothesis", "backprop_check.running.one_case"}
            heavy = never & set(sys.modules)
            print("heavy:", sorted(heavy), "backprop_check.pytest_plugin" in sys.modules)
        """
    )
    pytester.makepyfile("def test_mine(): pass")
    # Other plugins of this machine may import anything.
    result = pytester.runpytest_subprocess(
        "-s", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:_hypothesis_pytestplugin"
    )
    assert "heavy: [] True" in result.stdout.str()


def test_conventions_at_kinks_are_told(pytester: pytest.Pytester) -> None:
    """Right, with one line each; ``--backprop-kinks pytorch`` or the configuration makes them failures."""
    conventional("jax", pytester.path / "port")
    port = shlex.join([sys.executable, str(pytester.path / "port" / "port.py")])
    options = ("--backprop-check", "--backprop-suite=edge", "--backprop-cases=0", "-p", "no:cacheprovider")
    chosen = ("-k", "kink-leaky", "--backprop-json=r.json")
    file = pytester.path / "backprop-check.toml"
    file.write_text(f"[implementations.mine]\ncommand = {json.dumps(port)}\n")
    found = pytester.runpytest_inprocess(*options, *chosen)
    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(["note: at z = 0 the slope of leaky_relu is 1 here; PyTorch takes 0.25 (1 case)*"])
    assert [each["where"] for each in results(pytester.path)["conventions"]] == ["leaky_relu at 0"]
    pytester.runpytest_inprocess(*options, *chosen, "--backprop-kinks=pytorch").assert_outcomes(failed=1)
    assert results(pytester.path)["harness"]["kinks"] == "pytorch"
    file.write_text(f'{file.read_text()}kinks = "pytorch"\n')
    pytester.runpytest_inprocess(*options, *chosen).assert_outcomes(failed=1)
    pytester.runpytest_inprocess(*options, *chosen, "--backprop-kinks=any").assert_outcomes(passed=1)


def end_at(pytester: pytest.Pytester, number: int, how: str) -> None:
    """In a worker (or this process), that case ends the process or session as ``how`` says, before it is judged."""
    pytester.makeconftest(
        f"import os\n\ndef pytest_runtest_call(item):\n    if '-s{number:04d}-' in item.nodeid:\n        {how}\n"
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "how"),
    [
        (["-x"], "raise AssertionError"),
        ([], "raise KeyboardInterrupt"),
        (["-n", "1"], "os._exit(1)"),
        ([], "raise AssertionError"),  # all others ran, only this one has no result
    ],
)
def test_a_run_that_was_ended_is_not_complete(pytester: pytest.Pytester, options: list[str], how: str) -> None:
    """After ``-x``, Ctrl-C and a killed worker: the file has the finished results, and does not claim to be
    complete.
    """
    configure(pytester, mine="right")
    end_at(pytester, 2, how)
    ran = pytester.runpytest_subprocess(*GENERATED, "--backprop-cases=4", "--backprop-json=r.json", *options)
    assert ran.ret != 0
    data = results(pytester.path)
    assert data["summary"]["complete"] is False
    assert 0 < len(data["cases"]) < 4
    missing = 4 - len(data["cases"])
    ran.stdout.fnmatch_lines([f"The run was not finished: {missing} of the collected cases have no result."])


def test_a_choice_of_cases_is_complete(pytester: pytest.Pytester) -> None:
    """Cases that ``-k`` deselects were not to be run."""
    configure(pytester, mine="right", yours="right")
    run(pytester, "--backprop-json=r.json", "-k", "s0001 or s0002")
    for name in ("r-mine.json", "r-yours.json"):
        data = results(pytester.path, name)
        assert data["summary"]["complete"] is True
        assert len(data["cases"]) == 2


@pytest.mark.thorough
def test_what_is_required_decides(pytester: pytest.Pytester) -> None:
    """By the option and by the configuration: the session fails with a sentence, even if every case is right."""
    configure(pytester, mine="right")
    met = run(pytester, "--backprop-require=dense", "--backprop-require=cases=4")
    assert met.ret == 0
    unmet = run(pytester, "--backprop-require=cases=5", "--backprop-json=r.json")
    assert unmet.ret == 1
    unmet.assert_outcomes(passed=4)
    unmet.stdout.fnmatch_lines(["FAIL  mine: at least 5 judged cases are required, 4 were judged."])
    assert results(pytester.path)["unmet"] == ["at least 5 judged cases are required, 4 were judged"]
    with (pytester.path / "pyproject.toml").open("a") as file:
        file.write("require = ['gru']\n")
    several = run(pytester, "-n", "2")
    assert several.ret == 1
    several.stdout.fnmatch_lines(["FAIL  mine: the kind gru is required, but no case with it was judged*"])
    wrong = run(pytester, "--backprop-require=Conv2d")
    assert wrong.ret == 4
    assert "did you mean conv2d?" in "\n".join(wrong.errlines)
