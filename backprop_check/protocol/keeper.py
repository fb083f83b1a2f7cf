"""A program of its own: the process between the harness and a port on Linux, from which nothing that it starts escapes.

The kernel gives an orphan to the nearest of its ancestors that is a subreaper. The keeper is one. So whatever the port
starts stays below it: also what leaves the process group and the session, loses its parents and empties its
environment. When the port has ended, or the harness has, the keeper ends all that is left, and then itself in the way
in which the port did.

``python -I -S keeper.py FD PROGRAM ARGUMENT...``: FD is a socket to the harness. The keeper writes one number to it: 0
once the program runs, else the error's. The harness closes it, or dies, to have everything ended.

It imports nothing but what starts fast.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
#: Whoever forks faster than this ends them is left to the harness's other nets.
_PATIENCE = 5.0


def main() -> None:
    """Start the program, wait for its end or the harness's, end what is left."""
    line, argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(line, False)  # noqa: FBT003 (its only argument)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _pass)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _pass)  # whoever asks the group to end means the port
    port, error = _start(argv)
    signal.signal(signal.SIGTERM, lambda number, _: _send(port, number))
    # Its pipes are the port's alone: their ends must be seen.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.write(line, str(error).encode())
    status = _wait(port, line, woken)
    _end_all()
    _exit_as(status)


def _pass(_number: int, _frame: object) -> None:
    """Wake the loop, do nothing else; unlike a signal that is ignored, the port gets its default."""


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _start(argv: list[str]) -> tuple[int, int]:
    """Start the program; give its process and 0, or the number of the error."""
    read, write = os.pipe()  # closed by what is started
    pid = os.fork()
    if pid == 0:
        failed = 0
        try:
            for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and what is ignored is inherited
                signal.signal(getattr(signal, name), signal.SIG_DFL)
            os.execvpe(argv[0], argv, _environment())  # noqa: S606 (no shell is the purpose)
        except OSError as error:
            failed = error.errno or 1
        finally:
            os.write(write, str(failed or 1).encode())
            os._exit(127)
    os.close(write)
    said = os.read(read, 16)
    os.close(read)
    return pid, int(said or b"0")


def _environment() -> dict[bytes, bytes]:
    """The environment as it was given: where it has no locale, Python adds one to its own."""
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 (pathlib takes its time to import)
            pairs = file.read().split(b"\0")
    except OSError:  # a container without /proc
        return dict(os.environb)
    return dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)


def _wait(port: int, line: int, woken: int) -> int:
    """Wait for the port's end, whose status is given, or the harness's, and bury whoever else dies meanwhile."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if woken in ready:
            os.read(woken, 4096)
        while (ended := _bury()) is not None:
            if ended[0] == port:
                return ended[1]
        if line in ready:
            return signal.SIGKILL


def _bury() -> tuple[int, int] | None:
    """One child that has ended, with its status; None where there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _end_all() -> None:
    """Kill the children, and theirs, which become ours, until there are none."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        for pid in _children():
            _send(pid, signal.SIGKILL)
        time.sleep(0.001)


def _children() -> list[int]:
    me, found = str(os.getpid()).encode(), []
    for name in os.listdir("/proc"):  # noqa: PTH208 (as above)
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    after_name = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if after_name[1] == me:
                found.append(int(name))
    return found


def _exit_as(status: int) -> None:
    """End in the way that this status tells: with an exit code, or by a signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
