"""Starting a child process: in a session of its own, and on Linux below a keeper that ends all its descendants."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backprop_check.errors import StartError
from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEEPER: Final = str(Path(__file__).with_name("keeper.py"))
#: Whether child processes run below a keeper.
HAS_KEEPER: Final = sys.platform == "linux" and bool(sys.executable)


def start(
    argv: Sequence[str], *, cwd: str | os.PathLike[str] | None, env: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], socket.socket | None]:
    """Start a program with three pipes; return the process, and the socket to its keeper, if it has one.

    Pass the socket to ``await_start``; closing it ends all processes.

    Raises:
        OSError: the program was not found or cannot be run; with a keeper, ``await_start`` raises this.
        ValueError: the command contains a NUL character.

    """
    if sys.platform == "win32":
        # Unlike a shell, CreateProcess finds only .exe files: npm.cmd or dart.bat need their full name.
        argv = [shutil.which(argv[0], path=env.get("PATH")) or argv[0], *argv[1:]]
        return subprocess.Popen(  # noqa: S603 (running the user's command is the purpose; no shell)
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env=env,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        ), None
    if not HAS_KEEPER:
        return _posix(argv, cwd, env, ()), None
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            keeper = [sys.executable, "-I", "-S", _KEEPER, str(theirs.fileno())]
            return _posix([*keeper, *argv], cwd, env, (theirs.fileno(),)), ours
        except BaseException:
            ours.close()
            raise


def command_not_found(program: str, here: Path | None = None) -> StartError:
    """The error about a program that was not found; ``here`` is where it would be as a file of the command's folder."""
    hint = "install it, put it on PATH, or give its full path"
    if here is not None and here.is_file():
        hint = f"there is a file of that name here: run it with its interpreter, or as {here.absolute()}"
    return StartError("command-not-found", f'the command "{one_line(program)}" was not found', hint)


def await_start(line: socket.socket, program: str) -> None:
    """Wait until the keeper has started the program. Raises ``OSError`` where that failed."""
    said = line.recv(16)
    if said not in (b"", b"0"):  # a keeper that says nothing has ended, which is reported like any end of a process
        raise OSError(int(said), os.strerror(int(said)), program)


def _posix(
    argv: Sequence[str], cwd: str | os.PathLike[str] | None, env: Mapping[str, str], kept: Sequence[int]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 (as above)
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=cwd,
        env=env,
        start_new_session=True,
        pass_fds=kept,
    )
