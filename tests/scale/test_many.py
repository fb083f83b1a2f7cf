"""Many implementations in one run: a table, a file each, one report."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from scale_support import ODD, alive, finish, output_of, pids_in, start, until, without_times

from backprop_check.commands.many import submissions
from backprop_check.errors import ConfigurationError
from backprop_check.protocol import split_command
from backprop_check.protocol.sandbox import sandbox_prefix
from backprop_check.resume import read_unfinished

COMMAND = f'"{sys.executable}" "{{}}/port.py"'
PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"


def _handed_in(folder: Path, **options: str) -> None:
    """Submissions: each a folder with a port that is the odd port with these options."""
    for name, arguments in options.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "port.py").write_text(
            f"import runpy, sys\nsys.argv = ['odd', *{arguments.split()!r}]\nrunpy.run_path({str(ODD)!r})\n"
        )


def test_a_folder_of_submissions(tmp_path: Path) -> None:
    """A line and a row for each with its first cause; files and a report of all; exit 1 since some fail."""
    _handed_in(tmp_path / "in", anna="", berta="bug=delta", carl="crash=1")
    (tmp_path / "in" / "dora").mkdir()
    (tmp_path / "in" / ".git").mkdir()
    (tmp_path / "in" / "out of it").symlink_to("/")
    command = ["run", "--submissions", "in", "--command", COMMAND, "--cases", 12, "--json", "out", "--html", "all.html"]
    code, out = finish(*command, cwd=tmp_path)
    assert code == 1, out
    names = ("anna", "berta", "carl", "dora")
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith(names)}
    assert list(rows) == ["anna", "berta", "carl", "dora"]
    assert "12/12" in rows["anna"]
    assert "no name fits" in rows["berta"]
    assert "0/12" in rows["carl"]
    assert "exited with code 7" in out
    assert "could not be started" in rows["dora"]
    assert "1 of 4 conform." in out
    assert sorted(os.listdir(tmp_path / "out")) == ["anna.json", "berta.json", "carl.json"]  # noqa: PTH208
    assert json.loads((tmp_path / "out" / "anna.json").read_text())["summary"]["complete"]
    page = (tmp_path / "all.html").read_text()
    assert len(page) > 100_000
    (tmp_path / "out" / "carl.json").unlink()
    again, out = finish(*command, "--resume", cwd=tmp_path)
    assert again == 1, out
    assert [line for line in out.splitlines() if line.startswith("berta")] == [rows["berta"]]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_several_at_once_on_a_cluster(tmp_path: Path) -> None:
    """The table, the files and the exit code are those of one after the other; two slow ones are judged together."""
    _handed_in(tmp_path / "in", anna="sleep=0.05", berta="bug=delta sleep=0.05", carl="crash=1")
    (tmp_path / "in" / "dora").mkdir()
    command = ["run", "--submissions", "in", "--command", COMMAND, "--cases", 12, "--suite", "generated"]
    code, out = finish(*command, "--json", "one", cwd=tmp_path)
    again, told = finish(*command, "--json", "two", "--scheduler", "local", "--jobs", 2, cwd=tmp_path)
    assert (again, code) == (1, 1), told
    assert [line.split() for line in told.splitlines()] == [line.split() for line in out.splitlines()]
    for name in ("anna", "berta", "carl"):
        first, other = (without_times(tmp_path / folder / f"{name}.json") for folder in ("one", "two"))
        assert first == other


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_several_at_once_are_interrupted(tmp_path: Path) -> None:
    """All end, each keeps what was finished."""
    pids = tmp_path / "pids"
    _handed_in(tmp_path / "in", anna=f"sleep=0.1 pid={pids}", berta=f"sleep=0.1 pid={pids}", carl=f"pid={pids}")
    command = ["run", "--submissions", "in", "--command", COMMAND, "--cases", 900, "--suite", "generated"]
    with start(*command, "--json", "two", "--scheduler", "local", "--jobs", 2, cwd=tmp_path) as process:
        until(lambda: (tmp_path / "two" / "anna.json").exists() and len(pids_in(pids)) > 2)
        until(lambda: read_unfinished(tmp_path / "two" / "anna.json").count > 2)
        process.send_signal(signal.SIGINT)
        out = output_of(process)
    assert process.returncode == 1, out
    assert "Traceback" not in out
    assert "were not judged" in out
    until(lambda: alive(pids_in(pids)) == [])


def test_all_that_is_configured(tmp_path: Path) -> None:
    """Exit 0 where every one conforms; a name that is a path stays in the folder."""
    shutil.copytree(PORTS / "python", tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    port = json.dumps(f'"{sys.executable}" port.py')
    (tmp_path / "backprop-check.toml").write_text(
        f"[implementations.one]\ncommand = {port}\n[implementations.'../two']\ncommand = {port}\n"
    )
    code, out = finish("run", "--all", "--cases", 10, "--jobs", 2, "--json", "results", cwd=tmp_path)
    assert code == 0, out
    assert "2 of 2 conform." in out
    assert sorted(os.listdir(tmp_path / "results")) == ["_two.json", "one.json"]  # noqa: PTH208


def test_no_name_changes_what_is_run(tmp_path: Path) -> None:
    """A submission's name is one argument, whatever stands in it."""
    names = ["a; rm -rf b", "$(touch x)", 'quo"te', "it's", "two words.py", "{}"]
    for name in names:
        (tmp_path / name).mkdir()
    found = submissions(tmp_path, 'python3 "{}/port.py" --name={}')
    assert [target.name for target in found] == sorted(names)
    for target in found:
        path = str(tmp_path / target.name)
        assert split_command(target.entry.spec) == ["python3", f"{path}/port.py", f"--name={path}"]
        assert set(target.hidden) == {tmp_path / name for name in names if name != target.name}


def _needs_a_sandbox() -> None:
    """Skip, with the sentence, where there can be none."""
    if shutil.which("bwrap") is None and os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
        pytest.fail("bubblewrap is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
    try:
        sandbox_prefix([sys.executable])
    except ConfigurationError as error:
        pytest.skip(str(error))


@pytest.mark.skipif(sys.platform != "linux", reason="there is a sandbox on Linux only")
def test_the_sandbox_is_heeded(tmp_path: Path) -> None:
    """A submission that reads another one fails, and hints tell no expected value."""
    _needs_a_sandbox()
    # All that they need is with them: the sandbox may show nothing of the folder that these tests are in.
    shutil.copytree(PORTS / "python", tmp_path / "in" / "anna")
    shutil.copytree(PORTS / "mazur", tmp_path / "in" / "berta")
    port = tmp_path / "in" / "anna" / "port.py"
    text = port.read_text()
    stealing = f"open({str(tmp_path / 'in' / 'berta' / 'port.py')!r}).read()\n"
    port.write_text(text.replace("import json\n", f"{stealing}import json\n", 1))
    command = ["run", "--submissions", "in", "--command", COMMAND, "--cases", 5]
    code, out = finish(*command, "--sandbox", "--hints-only", "--json", "out", cwd=tmp_path)
    assert code == 1, out
    assert "anna: not judged" in out
    cases = json.loads((tmp_path / "out" / "berta.json").read_text())["cases"]
    assert {each.get("expected") for case in cases for each in case["mismatches"]} == {None}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "which implementation?"),
        (["python", "--all"], "give one of them"),
        (["--all"], "no implementation is configured"),
        (["--submissions", "."], "Give --command with {}"),
        (["--submissions", ".", "--command", "python3 port.py"], "Give --command with {}"),
        (["--submissions", ".", "--command", "python3 {}"], "there is no submission"),
        (["--all", "--command", "x {}"], "give their folder with --submissions"),
        (["--all", "--junit", "x.xml"], "--junit is for one implementation"),
        (["--all", "--resume"], "give it with --json"),
    ],
)
def test_what_does_not_go_together(options: list[object], sentence: str, tmp_path: Path) -> None:
    """Exit 2 and a sentence with the remedy."""
    code, out = finish("run", *options, cwd=tmp_path)
    assert code == 2
    assert sentence in " ".join(out.split())


def test_an_empty_template_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigurationError):
        submissions(tmp_path, "'unclosed {}")
