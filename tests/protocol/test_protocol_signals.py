"""Ctrl-C, SIGTERM or a closed terminal ends every child process, whatever is going on."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from protocol_support import LONG, alive, command, until
from usual_signals import usual_signals

from backprop_check.protocol import SubprocessImplementation, Terminated, orderly_signals
from backprop_check.protocol.signals import held

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

LAUNCHER = Path(__file__).with_name("interrupted.py")


@pytest.fixture(autouse=True)
def _usual() -> Iterator[None]:
    with usual_signals():
        yield


def start(tmp_path: Path, behaviour: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a run and wait until its port, with the port's children, is running."""
    pids = tmp_path / "pids"
    port = shlex.join(command(behaviour, pid=pids))
    argv = [sys.executable, str(LAUNCHER), "run", port, "--suite", "generated", "--timeout", str(LONG), "--cases", "5"]
    run = subprocess.Popen(
        argv, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    wanted = 2 if behaviour == "all-stubborn" else 1
    if not until(lambda: run.poll() is not None or (pids.exists() and len(pids.read_text().split()) == wanted)):
        run.kill()
    if run.poll() is not None:
        pytest.fail(f"the run did not come to its port:\n{run.communicate()[0].decode()}")
    return run, pids


@pytest.mark.parametrize(
    ("behaviour", "number"),
    [
        ("all-stubborn", "SIGINT"),
        ("all-stubborn", "SIGTERM"),
        ("all-stubborn", "SIGHUP"),
        ("no-hello", "SIGTERM"),
    ],
)
def test_no_child_survives(behaviour: str, number: str, tmp_path: Path) -> None:
    """The run ends soon, prints something, and its port and all the port's children are gone."""
    run, pids = start(tmp_path, behaviour)
    try:
        assert run.poll() is None
        assert alive(pids)
        run.send_signal(getattr(signal, number))
        said, _ = run.communicate(timeout=LONG)
    finally:
        run.kill()
        run.wait()
    assert run.returncode not in {0, None}
    assert b"Traceback" not in said
    assert alive(pids) == []


def test_impatient(tmp_path: Path) -> None:
    """Ctrl-C again and again while the children are being ended leaves none of them."""
    run, pids = start(tmp_path, "all-stubborn")
    try:

        def ended() -> bool:
            if run.poll() is None:
                run.send_signal(signal.SIGINT)
            return run.poll() is not None

        assert until(ended)
    finally:
        run.kill()
        run.communicate()
    assert until(lambda: alive(pids) == [])


def test_a_signal_at_the_start_of_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal between the start of the port's process and its registration still ends the process."""
    popen, started = subprocess.Popen, []

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        signal.raise_signal(signal.SIGTERM)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(Terminated), orderly_signals():
        SubprocessImplementation(command("no-hello"))
    assert len(started) == 1
    assert until(lambda: started[0].poll() is not None)


def test_terminated_is_like_ctrl_c() -> None:
    """SIGTERM and SIGHUP become an exception that says which of them it was; afterwards everything is as before."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        before = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt) as caught, orderly_signals():
            signal.raise_signal(number)
        assert isinstance(caught.value, Terminated)
        assert caught.value.exit_code == 128 + number
        assert str(caught.value) == f"ended by {number.name}"
        assert signal.getsignal(number) == before


def test_ignored_stays_ignored() -> None:
    """A signal ignored by nohup stays ignored; and in another thread nothing is done."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with orderly_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    seen = []

    def elsewhere() -> None:
        with orderly_signals(), held():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_held_signals_come_afterwards() -> None:
    """The protected block is finished first."""
    done = []

    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    "how", ["signal.signal({0}, signal.SIG_IGN)", "signal.pthread_sigmask(signal.SIG_BLOCK, [{0}])"]
)
def test_these_tests_do_not_mind_what_they_inherit(how: str) -> None:
    """Under nohup, in the background of a script, below a supervisor that blocks signals: they still pass."""
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k"]
    chosen = "terminated_is or held_signals or start_of_a_port or (survives and no-hello)"
    numbers = ("signal.SIGINT", "signal.SIGTERM", "signal.SIGHUP")
    code = "\n".join(
        ["import os, signal, sys", *(how.format(each) for each in numbers), "os.execv(sys.argv[1], sys.argv[1:])"]
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *pytest_here, chosen], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
