"""An interrupted run can be resumed and ends as an unbroken one does; a full disk ends in a sentence."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from scale_support import FULL, LONG, ODD, finish, odd, start, until, without_times

from backprop_check.cases.plan import Plan
from backprop_check.compare.trace import Slot
from backprop_check.protocol import ImplementationInfo, Opening, SubprocessImplementation, open_implementation
from backprop_check.report.html import write_report
from backprop_check.running.chunks import Work, alone, with_done
from backprop_check.running.early_results import Early, EarlyResults, early_path, read_early
from backprop_check.running.one_case import Judged, Result, Settings
from backprop_check.running.results_file import Conclusion, ResultsFile
from backprop_check.running.resume import read_unfinished

pytestmark = pytest.mark.thorough

#: An unbroken run of each kind is compared with one that is killed again and again.
KINDS: dict[str, tuple[dict[str, object], list[object]]] = {
    "right": ({}, []),
    "a bug, diagnosed": ({"bug": "delta"}, []),
    "errors and a noisy start": ({"error": 6, "noise": 1, "supports": "tanh,relu,softmax,identity,sigmoid"}, []),
    "in two processes": ({"error": 6}, ["--jobs", 2]),
    "hints only": ({"bug": "delta"}, ["--hints-only"]),
}
KILLS = 200 if FULL else len(KINDS)

#: The cases of these runs: from every suite with BACKPROP_CHECK_FULL=1.
SOME: list[object] = ["--cases", 60] if FULL else ["--suite", "generated", "--cases", 60]


def _killed_at_random(kind: str, folder: Path, kills: int, dice: random.Random) -> tuple[int, list[int]]:
    """Run, kill -9, resume, until the run is complete; returns the kills, and how many results each left."""
    port, options = KINDS[kind]
    results, counts, done = folder / "broken.json", [], 0
    command = ["run", odd(**port, sleep=0.02), *SOME, *options, "--json", results, "--resume"]
    while done < kills:
        began = time.monotonic()
        with start(*command, cwd=folder) as process:
            time.sleep(dice.uniform(0.3, 5.0 if FULL else 2.5))
            process.send_signal(signal.SIGKILL)
            _, code = process.communicate(), process.returncode
        if code != -signal.SIGKILL:
            assert code in (0, 1, 2), time.monotonic() - began
            break
        done += 1
        if results.exists() and results.stat().st_size:
            whole = read_unfinished(results)
            counts.append(whole.count)
            json.loads(results.read_bytes())
    return done, counts


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments(kind: str, tmp_path: Path) -> None:
    """The file is readable after every kill, no result is lost, and the end is that of an unbroken run."""
    port, options = KINDS[kind]
    dice = random.Random(kind)  # noqa: S311 - no secret
    share, kills = KILLS // len(KINDS), 0
    code, out = finish("run", odd(**port, sleep=0.02), *SOME, *options, "--json", tmp_path / "whole.json", cwd=tmp_path)
    assert code in (0, 1), out
    while kills < share:
        (tmp_path / "broken.json").unlink(missing_ok=True)
        more, counts = _killed_at_random(kind, tmp_path, share - kills, dice)
        kills += more
        assert counts == sorted(counts)
        broken = tmp_path / "broken.json"  # missing where the kill came before the first result
        if not broken.exists() or not read_unfinished(broken).complete:
            command = ["run", odd(**port, sleep=0.02), *SOME, *options, "--json", tmp_path / "broken.json"]
            again, out = finish(*command, "--resume", cwd=tmp_path)
            assert again == code, out
        assert without_times(tmp_path / "broken.json") == without_times(tmp_path / "whole.json")


def test_every_torn_file_is_read(tmp_path: Path) -> None:
    """Cut anywhere after its head, a file gives its complete lines; it can be resumed, and is complete at the end."""
    results = tmp_path / "results.json"
    port = odd(error=5)
    finish("run", port, "--suite", "published", "--no-diagnosis", "--json", results, cwd=tmp_path)
    whole, reference = read_unfinished(results), without_times(results)
    data = results.read_bytes()
    torn = tmp_path / "torn.json"
    for cut in [*range(whole.start, len(data), 7), len(data) - 1]:
        torn.write_bytes(data[:cut])
        found = read_unfinished(torn)
        assert found.complete == (cut == len(data) - 1)  # a file that lacks only its last newline is complete
        assert found.count >= data[whole.start : cut].count(b"\n") - 2
        assert found.end <= cut
        assert [each.id for each, _ in found.results()] == [each.id for each, _ in whole.results()][: found.count]
    spaced = data[: whole.start] + b"\n,\n" + data[whole.start :].replace(b",\n", b",\n\n")
    torn.write_bytes(spaced)
    assert [each.id for each, _ in read_unfinished(torn).results()] == [each.id for each, _ in whole.results()]
    # Where a number should begin: no text behind it makes a whole line of that by chance.
    middle = data.index(b'"seconds":', whole.start + (whole.end - whole.start) // 2) + len(b'"seconds":')
    torn.write_bytes(data[:middle] + b'half a line, and what was there: "}\n],{')
    code, out = finish("run", port, "--suite", "published", "--no-diagnosis", "--json", torn, "--resume", cwd=tmp_path)
    assert code == 1, out
    assert without_times(torn) == reference


def test_a_report_of_a_torn_file(tmp_path: Path) -> None:
    """The complete results are shown, with a note that the run was not finished, wherever the file was cut."""
    results, torn, page = tmp_path / "results.json", tmp_path / "torn.json", tmp_path / "page.html"
    finish("run", odd(error=5), "--suite", "published", "--no-diagnosis", "--json", results, cwd=tmp_path)
    data, whole = results.read_bytes(), read_unfinished(results)
    middle = whole.start + (whole.end - whole.start) // 2
    for cut in (whole.start + 3, middle, len(data) - 5):
        torn.write_bytes(data[:cut])
        count = read_unfinished(torn).count
        sentences: list[str] = []
        write_report([torn], page, say=sentences.append)
        (said,) = sentences
        assert said.startswith(f"{torn} is unfinished: the run ended after {count} result")
        assert "The run was not finished." in page.read_text(encoding="utf-8") or not count
    code, out = finish("report", torn, "--html", page, cwd=tmp_path)
    assert (code, "is unfinished: the run ended after" in " ".join(out.split())) == (0, True)
    torn.write_bytes(data[: whole.start - 5])
    code, out = finish("report", torn, "--html", page, cwd=tmp_path)
    assert (code, "is not valid JSON" in " ".join(out.split())) == (2, True)


def test_what_a_loss_of_power_leaves_is_recognised(tmp_path: Path) -> None:
    """Cut at every byte of its tail, followed by nothing, zeros, or an older closing part, as a disk may leave it.

    Exactly the complete results are read, and it never says that it is complete.
    """
    results, torn = tmp_path / "results.json", tmp_path / "torn.json"
    info = ImplementationInfo("mine", "Python", "1", "python3 port.py", "float64")
    older = b""
    with ResultsFile(results, info, {"seed": 0}, []) as file:
        for number in range(6):
            file.add(Result(id=f"c{number}", outcome="passed", notes=["}\n],{"]), [Slot("z", 0)])
            if number == 3:
                older = results.read_bytes()
    data, whole = results.read_bytes(), read_unfinished(results)
    ids = [each.id for each, _ in whole.results()]
    assert ids == [f"c{number}" for number in range(6)]
    assert older.count(b"c3") == 1
    for cut in range(whole.end - 300, len(data)):
        lost = len(data) - cut
        for rest in (b"", bytes(lost), older[cut:] if cut < len(older) else b"", b"\xff" * min(lost, 64)):
            torn.write_bytes(data[:cut] + rest)
            found = read_unfinished(torn)
            assert not found.complete
            assert [each.id for each, _ in found.results()] == ids[: found.count]
            assert found.count >= data[whole.start : cut].count(b"}\n],{") - 1


@pytest.mark.skipif(sys.platform != "linux", reason="which file a descriptor is of is asked as on Linux")
def test_results_are_on_the_disk_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no further result arrives; an early one too, and the end at once, with the file's name."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))  # noqa: PTH115, PTH119
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    info = ImplementationInfo("mine", "Python", "1", "python3 port.py", "float64")
    with ResultsFile(tmp_path / "results.json", info, {}, []) as file:
        synced.clear()
        file.add(Result(id="c0", outcome="passed"))
        file.early(7, Result(id="c7", outcome="passed"), ())
        until(lambda: {"results.json", ".results.json.ahead"} <= set(synced))
        before = list(synced)
        time.sleep(1.2)
        assert synced == before  # nothing new: nothing is synced
        file.finish(Conclusion())
        assert synced[len(before) :] == [".results.json.new", tmp_path.name]


@pytest.mark.parametrize("options", [[], ["--hints-only"]])
@pytest.mark.parametrize("who", [["--jobs", 2], ["--scheduler", "local", "--jobs", 2]])
def test_what_others_finished_is_not_lost(options: list[object], who: list[object], tmp_path: Path) -> None:
    """While one process hangs at the first case the others continue: a kill loses only the cases in flight."""
    if "--scheduler" in who:
        pytest.importorskip("distributed", reason="Dask is not installed")
    results, log = tmp_path / "results.json", tmp_path / "log"
    slow = Plan(suites=("generated",)).case(0).id
    port = odd(slow=slow, log=log, bug="delta")
    command = ["run", port, "--suite", "generated", "--cases", 64, "--timeout", LONG, *options]
    rest = ["--no-diagnosis", "--json", results]
    with start(*command, *rest, *who, cwd=tmp_path) as process:
        # Dask gives a worker that hangs a queue of its own.
        least = 16 if "--scheduler" in who else 48
        until(lambda: results.exists() and len(read_unfinished(results).ahead) >= least)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    broken = read_unfinished(results)
    assert broken.count == 0
    kept = {each.result.id for each in broken.ahead.values()}
    log.unlink()
    (tmp_path / "go").touch()
    code, out = finish(*command, *rest, "--resume", cwd=tmp_path)
    assert code == 1, out
    asked = set(log.read_text().split())
    assert slow in asked
    if not options:  # with hints only, failed cases are sent again for their numbers
        assert len(asked) <= 64 - least
        assert kept.isdisjoint(asked)
    assert not early_path(results).exists()
    finish(*command, "--no-diagnosis", "--json", tmp_path / "whole.json", cwd=tmp_path)
    assert without_times(results) == without_times(tmp_path / "whole.json")


def test_what_is_asked_again_disturbs_no_other() -> None:
    """An early result may need its numbers again: the port is asked when no other case is in flight."""
    plan = Plan(suites=("generated",), count=40)
    work = Work(spec="", opening=Opening(), plan=plan, settings=Settings())
    with open_implementation(odd(bug="delta"), Opening(timeout=60.0)) as port:
        assert isinstance(port, SubprocessImplementation)
        assert port.max_in_flight > 8

        def again(position: int) -> Judged:
            (judged,) = work.judge(port, [position])
            return judged

        done = {position: partial(again, position) for position in (3, 20, 21)}
        found = [judged.result for judged in with_done(alone(work, port, done), done, len(plan))(0)]
    assert [each.id for each in found] == [plan.case(position).id for position in range(len(plan))]
    assert {each.outcome for each in found} == {"passed", "mismatched"}
    assert [each.notes for each in found if each.notes] == []  # no reply was dropped, no case sent again


def test_what_came_early_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    """Cut at every byte; a file of other results; rewritten when most of its results have been placed."""
    results, head = tmp_path / "results.json", b'{"head": 1\n'
    some = [Early(n, Result(id=f"c{n}", outcome="passed"), [("z", 0, None)]) for n in (7, 5, 9)]
    ahead = EarlyResults(results, head)
    for each in some:
        ahead.keep(each.position, each.result, each.slots)
    assert read_early(results, head, 0) == {each.position: each for each in some}
    assert read_early(results, head, 6)[7].slots == (Slot("z", 0),)
    assert set(read_early(results, head, 6)) == {7, 9}
    assert read_early(results, b"other", 0) == {}
    data = early_path(results).read_bytes()
    for cut in range(len(data)):
        early_path(results).write_bytes(data[:cut])
        found = read_early(results, head, 0)
        assert list(found) == [7, 5, 9][: max(0, data[:cut].count(b"\n") - 1)]
    early_path(results).write_bytes(data)
    assert not ahead.placed(5)
    ahead.tidy()
    assert set(read_early(results, head, 0)) == {7, 9}
    ahead.close(complete=False)
    assert early_path(results).exists()
    ahead.close(complete=True)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names are enough


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--seed", 5], "its --seed was 0, now it is 5"),
        (["--cases", 12], "its --cases was 10, now it is 12"),
        (["--suite", "generated"], "its --suite was not given, now it is generated"),
        (["--profile", "strict"], "its --profile was textbook, now it is strict"),
    ],
)
def test_another_run_is_refused(options: list[object], sentence: str, tmp_path: Path) -> None:
    """One sentence says what differs and what to do; the file is unchanged."""
    results = tmp_path / "results.json"
    finish("run", odd(error=2), "--cases", 10, "--fail-fast", "--json", results, cwd=tmp_path)
    before = results.read_bytes()
    command = ["run", odd(error=2), *([] if "--cases" in options else ["--cases", 10]), *options]
    code, out = finish(*command, "--json", results, "--resume", cwd=tmp_path)
    assert code == 2
    assert sentence in " ".join(out.split())
    assert "leave out --resume to start over" in " ".join(out.split())
    assert results.read_bytes() == before


def test_a_port_that_writes_to_the_results_harms_nothing(tmp_path: Path) -> None:
    """With each case and at its end: a sentence, exit 2 for a right port, and a complete file and report."""
    (tmp_path / "port.py").write_text(
        "import atexit, io, runpy, sys\nsys.argv = ['odd']\n"
        f"harm = lambda: open({str(tmp_path / 'r.json')!r}, 'w').write('mine')\natexit.register(harm)\n"
        "class Harmful(io.TextIOWrapper):\n    def flush(self):\n        super().flush()\n        harm()\n"
        "sys.stdout = Harmful(sys.stdout.buffer, encoding='utf-8')\n"
        f"runpy.run_path({str(ODD)!r})\n"
    )
    command = ["run", f'"{sys.executable}" port.py', "--cases", 12, "--json", "r.json", "--html", "r.html"]
    code, out = finish(*command, cwd=tmp_path)
    assert code == 2, out
    assert "cut or made longer" in out
    assert "an implementation must not write there" in " ".join(out.split())
    finish("run", odd(), "--cases", 12, "--json", "calm.json", cwd=tmp_path)
    calm, found = (json.loads((tmp_path / name).read_text()) for name in ("calm.json", "r.json"))
    assert [each["id"] for each in found["cases"]] == [each["id"] for each in calm["cases"]]
    assert found["summary"] == calm["summary"]
    assert (tmp_path / "r.html").stat().st_size > 100_000


def test_other_files_are_refused(tmp_path: Path) -> None:
    """Another implementation's results, a complete file, and a file that is not a results file."""
    results = tmp_path / "results.json"
    finish("run", odd(error=2), "--cases", 5, "--fail-fast", "--json", results, cwd=tmp_path)
    code, out = finish("run", odd(error=3), "--cases", 5, "--json", results, "--resume", cwd=tmp_path)
    assert (code, "the implementation's command was" in out) == (2, True)
    code, out = finish("run", odd(error=2), "--json", results, "--resume", "--fail-fast", cwd=tmp_path)
    assert (code, "leave out --fail-fast" in out) == (2, True)
    results.write_bytes(b'{"schema": 1, "cases": []}')
    code, out = finish("run", odd(error=2), "--cases", 5, "--json", results, "--resume", cwd=tmp_path)
    assert (code, "is not a results file that a run can continue" in out) == (2, True)
    results.unlink()
    command = ["run", odd(), "--suite", "published", "--json", results, "--resume"]
    code, out = finish(*command, cwd=tmp_path)
    assert code == 0, out
    code, out = finish(*command, cwd=tmp_path)
    assert (code, "is complete; leave out --resume" in out) == (2, True)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes are set as on Linux")
@pytest.mark.parametrize("room", [20_000, 45_678])
def test_a_full_disk_ends_in_a_sentence(room: int, tmp_path: Path) -> None:
    """Exit 2, one sentence, the finished results stay in a complete file; with room again the run can be resumed."""
    results = tmp_path / "results.json"
    command = ["run", odd(), "--cases", 150, "--json", results]
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    code, out = finish(
        *command, cwd=tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    )
    assert code == 2, out
    assert "cannot be written: File too large. The results finished before are kept" in " ".join(out.split())
    assert "Traceback" not in out
    data = json.loads(results.read_bytes())
    assert data["summary"]["complete"] is False
    assert room - 2000 < results.stat().st_size <= room
    assert len(data["cases"]) == data["summary"]["cases"] > 10
    code, out = finish(*command, "--resume", cwd=tmp_path)
    assert code == 0, out
    finish(*command[:-1], tmp_path / "whole.json", cwd=tmp_path)
    assert without_times(results) == without_times(tmp_path / "whole.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    """The message comes before the first case."""
    code, out = finish("run", odd(), "--json", "/dev/full", cwd=tmp_path)
    assert code == 2
    assert "the results file /dev/full cannot be written: No space left on device" in " ".join(out.split())
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names are enough
