"""Many implementations in one run: a table, a file for each, one report."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from scale_support import ODD, alive, finish, output_of, pids_in, start, until, without_times

from backprop_check.commands.many import submissions
from backprop_check.diagnose.catalogue import find_bug
from backprop_check.errors import ConfigurationError
from backprop_check.protocol import split_command
from backprop_check.protocol.sandbox import sandbox_prefix
from backprop_check.running.resume import read_unfinished

COMMAND = f'"{sys.executable}" "{{}}/port.py"'
SMALL = Path(__file__).parents[1] / "small_port.py"
PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"


def _handed_in(folder: Path, **options: str) -> None:
    """Submissions: for each a folder with a port that is the odd port with these options."""
    for name, arguments in options.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "port.py").write_text(
            f"import runpy, sys\nsys.argv = ['odd', *{arguments.split()!r}]\nrunpy.run_path({str(ODD)!r})\n"
        )


@pytest.mark.thorough
def test_a_folder_of_submissions(tmp_path: Path) -> None:
    """A line and a row for each with its first cause; files and a report of all; exit 1 since some fail."""
    _handed_in(tmp_path / "in", anna="", berta="bug=delta", carl="crash=1")
    (tmp_path / "in" / "dora").mkdir()
    (tmp_path / "in" / ".git").mkdir()
    (tmp_path / "in" / "out of it").symlink_to("/")
    command = ["run", "--submissions", "in", "--command", COMMAND, "--cases", 12, "--json", "out", "--html", "all.html"]
    code, out = finish(*command, cwd=tmp_path)
    assert code == 1, out
    names = ("anna", "berta", "carl", "dora", "out")
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith(names)}
    assert list(rows) == ["anna", "berta", "carl", "dora", "out"]
    assert "12/12" in rows["anna"]
    assert "another formula was written" in rows["berta"]
    assert "0/12" in rows["carl"]
    assert "exited with code 7" in out
    assert "could not be started" in rows["dora"]
    assert "it is a link to /: a submission must be a file" in " ".join(out.split())
    assert "1 of 5 conform." in out
    assert sorted(os.listdir(tmp_path / "out")) == ["anna.json", "berta.json", "carl.json"]  # noqa: PTH208
    assert json.loads((tmp_path / "out" / "anna.json").read_text())["summary"]["complete"]
    page = (tmp_path / "all.html").read_text()
    assert len(page) > 100_000
    (tmp_path / "out" / "carl.json").unlink()
    again, out = finish(*command, "--resume", cwd=tmp_path)
    assert again == 1, out
    assert [line for line in out.splitlines() if line.startswith("berta")] == [rows["berta"]]


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are another matter on Windows")
def test_what_is_no_submission_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    """Links, pipes, sockets, and a folder with a link to another submission: a sentence for each, the others are
    judged.
    """
    folder = tmp_path / "in"
    _handed_in(folder, anna="", carl="")
    (folder / "ben").symlink_to("anna")
    (folder / "carl" / "linked").symlink_to("../anna/port.py")
    (folder / "gone").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as plug, contextlib.chdir(folder):
        plug.bind("plug")  # a relative path: a socket's must be short
    code, out = finish("run", "--submissions", "in", "--command", COMMAND, "--cases", 2, cwd=tmp_path)
    assert code == 1, out
    said = " ".join(out.split())
    judged = [line.split(":")[0] for line in out.splitlines() if line.startswith(("ok", "FAIL"))]
    assert judged == ["ok    anna", "FAIL  ben", "FAIL  carl", "FAIL  gone", "FAIL  pipe", "FAIL  plug"]
    for sentence in (
        "it is a link to anna: a submission must be a file or a folder",
        "its linked is a link to anna/port.py, which is not part of it",
        "it is a link to nowhere",
        "it is a pipe:",
        "it is a socket:",
    ):
        assert sentence in said
    assert "1 of 6 conform." in said


def test_a_link_hides_no_submission_from_itself(tmp_path: Path) -> None:
    """The sandbox hides the other submissions from each; a link to a submission counts as that submission."""
    (tmp_path / "anna").mkdir()
    (tmp_path / "berta").mkdir()
    (tmp_path / "ben").symlink_to("anna")
    (tmp_path / "anna" / "python").symlink_to(sys.executable)  # a link out of the folder of submissions, as in any venv
    anna, ben, berta = submissions(tmp_path, "python3 {}/port.py")
    assert (anna.refused, berta.refused) == ("", "")
    assert ben.refused
    assert anna.hidden == (tmp_path / "berta",)


def test_hints_only_name_the_mistake_of_each_and_not_the_remedy(tmp_path: Path) -> None:
    """For submissions as for one implementation: no formula, fix or value in any file; name and place stay."""
    (tmp_path / "in" / "anna").mkdir(parents=True)
    (tmp_path / "in" / "anna" / "port.py").write_text(
        f"import runpy, sys\nsys.argv = ['small', 'hidden']\nrunpy.run_path({str(SMALL)!r}, run_name='__main__')\n"
    )
    command = ["run", "--submissions", "in", "--command", COMMAND, "--cases", 12, "--suite", "generated"]
    code, out = finish(*command, "--hints-only", "--json", "out", "--html", "all.html", cwd=tmp_path)
    assert code == 1, out
    (cause,) = json.loads((tmp_path / "out" / "anna.json").read_text())["diagnoses"]
    assert (cause["code"], cause["bug"]) == ("BP102", "hidden-derivative-missing")
    bug = find_bug("BP102")
    page = (tmp_path / "all.html").read_text()
    for text in (bug.right, bug.wrong, bug.fix, bug.stays_right):
        assert text not in json.dumps(cause, ensure_ascii=False)
        assert text not in page
        assert text not in out
    told = {"code", "bug", "title", "sentence", "scope", "equivalent", "cases", "first_case", "explains"}
    assert [key for key, value in cause.items() if value and key not in told] == []


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_several_at_once_on_a_cluster(tmp_path: Path) -> None:
    """The table, the files and the exit code are those of a sequential run; two slow ones are judged concurrently."""
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
    """All end, each keeps its finished results."""
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


def test_a_submission_that_writes_to_the_results_of_others(tmp_path: Path) -> None:
    """The one whose results are gone gets a message, and is not called wrong; so does one that writes to its own."""
    _handed_in(tmp_path / "in", anna="", berta="", carl="")
    for name, victims in (("berta", ["anna"]), ("carl", ["carl"])):
        harm = f"lambda: [open(f'out/{{each}}.json', 'w').write('mine') for each in {victims!r}]"
        at_the_end = f"import atexit\natexit.register({harm})\n"
        port = tmp_path / "in" / name / "port.py"
        port.write_text(at_the_end + port.read_text())
    command = ["run", "--submissions", "in", "--command", COMMAND, "--cases", 2, "--suite", "generated"]
    code, out = finish(*command, "--json", "out", "--html", "r.html", cwd=tmp_path)
    assert code == 1, out
    said = " ".join(out.split())
    assert "anna.json was changed after anna was judged, perhaps by a submission: use --sandbox" in said
    assert "carl.json was cut or made longer" in said
    assert "2 of 3 conform." in said
    assert len(json.loads((tmp_path / "out" / "carl.json").read_text())["cases"]) == 2
    assert (tmp_path / "r.html").exists()


@pytest.mark.thorough
def test_all_that_is_configured(tmp_path: Path) -> None:
    """Exit 0 where every one conforms; a name that looks like a path does not leave the folder."""
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
    """A submission's name is one argument, whatever it contains."""
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
    """Skip, with the message, where no sandbox is available."""
    if shutil.which("bwrap") is None and os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
        pytest.fail("bubblewrap is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
    try:
        sandbox_prefix([sys.executable])
    except ConfigurationError as error:
        pytest.skip(str(error))


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="there is a sandbox on Linux only")
def test_the_sandbox_is_heeded(tmp_path: Path) -> None:
    """A submission that reads another one, or its results, fails; hints contain no expected value."""
    _needs_a_sandbox()
    whole = {name: tmp_path / "in" / name for name in ("anna", "berta", "carl", "dora")}
    for folder in whole.values():
        shutil.copytree(PORTS / "python", folder, ignore=shutil.ignore_patterns("__pycache__"))
    bugged = (whole["berta"] / "network.py").read_text().replace("/ divisor for delta_k", "/ divisor * 1.5 for delta_k")
    (whole["berta"] / "network.py").write_text(bugged)
    for name, wanted in (("carl", tmp_path / "in" / "berta" / "port.py"), ("dora", tmp_path / "out" / "anna.json")):
        port = whole[name] / "port.py"
        port.write_text(port.read_text().replace("import json\n", f"import json\nopen({str(wanted)!r}).read()\n", 1))
    command = ["run", "--submissions", "in", "--command", COMMAND, "--cases", 5]
    code, out = finish(*command, "--sandbox", "--hints-only", "--json", "out", cwd=tmp_path)
    assert code == 1, out
    assert "ok    anna" in out
    assert "carl: not judged" in out
    assert "dora: not judged" in out
    cases = json.loads((tmp_path / "out" / "berta.json").read_text())["cases"]
    assert {each.get("expected") for case in cases for each in case["mismatches"]} == {None}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "which implementation?"),
        (["python", "--all"], "give either IMPL"),
        (["--all"], "no implementation is configured"),
        (["--submissions", "."], "Give --command with {}"),
        (["--submissions", ".", "--command", "python3 port.py"], "Give --command with {}"),
        (["--submissions", ".", "--command", "python3 {}"], "there is no submission"),
        (["--all", "--command", "x {}"], "give the folder of submissions with --submissions"),
        (["--all", "--junit", "x.xml"], "--junit works for one implementation only"),
        (["--all", "--resume"], "give the folder with --json"),
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
