"""The keeper: a process between the harness and a port on Linux that ends all processes that the port started.

The kernel makes the nearest ancestor that is a subreaper the parent of an orphan. The keeper is a subreaper. So every
process that the port starts stays below it, even if it leaves the process group and the session, loses its parents and
empties its environment. When the port or the harness has ended, the keeper kills all remaining processes, and then ends
itself in the way in which the port ended.

``python -I -S keeper.py FD PROGRAM ARGUMENT...``: FD is a socket to the harness. The keeper writes one number to it: 0
once the program runs, else the number of the error. When the harness closes the socket, or dies, everything is ended.

This program imports only modules that load fast.
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
#: If processes fork faster than the keeper kills them for this many seconds, the harness's other means have to do it.
_PATIENCE = 5.0


def main() -> None:
    """Start the program, wait for its end or the harness's, and end the remaining processes."""
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
            signal.signal(number, _pass)  # a signal to the process group is meant for the port
    port, error = _start(argv)
    signal.signal(signal.SIGTERM, lambda number, _: _send(port, number))
    # Only the port may hold its pipes, so that their ends are noticed.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.write(line, str(error).encode())
    status = _wait(port, line, woken)
    _end_all()
    _exit_as(status)


def _pass(_number: int, _frame: object) -> None:
    """Only wake the loop. Unlike an ignored signal, a handled one is reset to its default in the port."""


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _start(argv: list[str]) -> tuple[int, int]:
    """Start the program; return its process id, and 0 or the number of the error."""
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
    """The environment as it was given: without a locale, Python adds one to ``os.environ``."""
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 (pathlib takes its time to import)
            pairs = file.read().split(b"\0")
    except OSError:  # a container without /proc
        return dict(os.environb)
    return dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)


def _wait(port: int, line: int, woken: int) -> int:
    """Wait for the end of the port or the harness, and reap other children; return the port's status (or SIGKILL)."""
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
    """Reap one child that has ended; return its id and status, or None where there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _end_all() -> None:
    """Kill the children until there are none; their children become ours and are killed too."""
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
    """End with the same exit code, or by the same signal, as this status says."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
