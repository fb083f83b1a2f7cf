"""A sandbox for untrusted programs, on Linux: bubblewrap limits what they can reach, prlimit what they can use.

Inside there is no network and no other process. The file system can be read but not written, except for a scratch
folder in memory (``/tmp``) that no other process sees.  Folders that usually hold secrets are empty, and variables
that look like secrets are not passed on.  SECURITY.md says what this promises and what it does not.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import psutil

from backprop_check.errors import ConfigurationError
from backprop_check.protocol.starting import command_not_found
from backprop_check.protocol.text import one_line
from backprop_check.protocol.unseen import kept_values, own_environment, own_packages, own_places, without_own
from backprop_check.protocol.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_INSTEAD: Final = 'otherwise run the command in a container, such as "docker run -i --network none IMAGE …"'
_PROBE_TIMEOUT: Final = 20
#: Folders that are replaced by empty folders in memory; /run holds sockets of services outside the sandbox.
_SCRATCH: Final = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 (they are replaced, not used)
_MOST_LINKS: Final = 40
_BASE: Final = re.compile(r"^home\s*=\s*(.+?)\s*$", re.MULTILINE)
#: Files and folders in a home folder that usually hold secrets.
_SECRETS: Final = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", ".mozilla", ".thunderbird"),
    *(".config/gh", ".config/gcloud", ".config/hub", ".config/rclone", ".config/chromium", ".config/google-chrome"),
    *(".local/share/keyrings", ".netrc", ".git-credentials", ".npmrc", ".pypirc", ".pgpass", ".bash_history"),
)
_SECRET_NAME: Final = re.compile(
    r"token|secret|passw|credential|api_?key|access_?key|private_?key|auth|cookie|_pat$|^ssh_|^gpg_|dbus_|xauthority",
    re.IGNORECASE,
)


class Limits(msgspec.Struct, frozen=True):
    """What one process in the sandbox may use; None means no limit.

    ``cpu`` is in seconds of processor time for the whole life of a process, ``memory`` (what it can
    write to), ``file`` (one file's size) and ``scratch`` in bytes; ``processes`` counts threads too.
    """

    cpu: int | None = 600
    memory: int | None = 4 * 2**30
    processes: int | None = 256
    file: int | None = 64 * 2**20
    scratch: int | None = 256 * 2**20


def sandbox_prefix(
    argv: Sequence[str],
    *,
    cwd: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    hidden: Iterable[str | os.PathLike[str]] = (),
    outputs: Iterable[str | os.PathLike[str]] = (),
    needed: Iterable[Path] = (),
    path: str | None = None,
) -> list[str]:
    """The words to put before a command so that it runs in the sandbox.

    ``hidden`` are files and folders that it must not read in addition to the usual ones: solutions, other submissions.
    ``outputs`` are files that this run writes or will write: they are hidden, but not the other entries of their
    folders. The folder in which the command runs, its program, and the folders of files that it names stay readable,
    unless they are hidden themselves. ``needed`` is always shown. ``path`` is the search path for the program.

    Raises:
        ConfigurationError: this is not Linux, a tool is missing, or the system does not allow a sandbox.
        StartError: the command's program does not exist.

    """
    bwrap, prlimit = _tools()
    limits = limits or Limits()
    folder = Path(cwd or ".").resolve()
    covered = [*(Path.home() / name for name in _SECRETS), *own_places(), *map(_absolute, hidden), *_temporary(folder)]
    shown = _shown(argv, folder, path, covered)
    environment = own_environment()
    if environment is not None and all(each.resolve() != environment for each in shown):
        covered += own_packages()
    written = [kept_values(), *map(_absolute, outputs)]
    view = View(shown, covered, [Path(place) for place in _SCRATCH], written)
    prefix = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    prefix += view.mounts(limits.scratch, needed)
    prefix += ["--setenv", "TMPDIR", "/tmp", "--chdir", str(folder), "--"]  # noqa: S108 (inside it is its own)
    return [*prefix, prlimit, *_limits(limits), "--"]


def sandbox_environment(env: Mapping[str, str] | None = None, program: str = "") -> dict[str, str]:
    """The environment (by default this process's) without variables that look like secrets or lead to the harness."""
    kept = {key: value for key, value in (os.environ if env is None else env).items() if not _SECRET_NAME.search(key)}
    return without_own(kept, program)


def _absolute(place: str | os.PathLike[str]) -> Path:
    return Path(place).absolute()


def _temporary(folder: Path) -> list[Path]:
    """The folder of our temporary files, unless the port itself runs there."""
    place = Path(tempfile.gettempdir()).resolve()
    return [] if place in (folder, Path("/")) or any(place.is_relative_to(each) for each in _SCRATCH) else [place]


def _tools() -> tuple[str, str]:
    if sys.platform != "linux":
        raise ConfigurationError("sandbox-not-on-linux", "--sandbox works on Linux only", _INSTEAD)
    found = {name: shutil.which(name) for name in ("bwrap", "prlimit")}
    for name, package in (("bwrap", "bubblewrap"), ("prlimit", "util-linux")):
        if found[name] is None:
            cause = f"--sandbox needs {name}, which was not found"
            raise ConfigurationError("sandbox-tool-missing", cause, f'install the package "{package}"; {_INSTEAD}')
    bwrap, prlimit = str(found["bwrap"]), str(found["prlimit"])
    problem = _refusal(bwrap)
    if problem:
        cause = f"--sandbox: this system does not let bwrap make a sandbox ({problem})"
        raise ConfigurationError("sandbox-refused", cause, _INSTEAD)
    return bwrap, prlimit


@functools.cache
def _refusal(bwrap: str) -> str:
    """Try the smallest sandbox; return bwrap's error, or an empty text where it works."""
    command = [bwrap, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/"]
    command += ["--dev", "/dev", "--proc", "/proc", "--", "true"]
    try:
        done = subprocess.run(  # noqa: S603 (a fixed command)
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return one_line(str(error))
    if done.returncode == 0:
        return ""
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return one_line(said[-1]) if said else f"it exited with code {done.returncode}"


def _shown(argv: Sequence[str], folder: Path, search: str | None, covered: Sequence[Path]) -> list[Path]:
    """The folders that the command needs: its own, its program's, and those of the files it names.

    If a file is a link, its target is shown only outside of covered places, since a submission can contain any link.
    """
    program = shutil.which(argv[0], path=search) if os.sep not in argv[0] else str(folder / argv[0])
    if program is None or not Path(program).exists():
        raise command_not_found(argv[0])
    shown = [folder, *homes_of(Path(program))]
    for path in (folder / part for part in argv[1:]):
        if _is_file(path):
            shown.append(path.parent)
            target = path.resolve().parent
            if not any(target.is_relative_to(place) for place in covered):
                shown.append(target)
    whole = [Path("/"), *map(Path, _SCRATCH)]
    return [path for path in dict.fromkeys(shown) if path not in whole] or [folder]


def homes_of(program: Path) -> list[Path]:
    """The folders of a program and its library, along all links; for a virtual environment also its base Python."""
    links = [program]
    while links[-1].is_symlink() and len(links) < _MOST_LINKS:
        links.append(links[-1].parent / links[-1].readlink())
    homes = []
    for path in (*links, program.resolve()):
        # A program's library is next to its bin folder.
        home = path.parent.parent if path.parent.name == "bin" else path.parent
        homes.append(home)
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found = _BASE.search((home / "pyvenv.cfg").read_text(encoding="utf-8"))
            base = Path(found.group(1)) if found else None
            if base is not None and base.is_absolute():
                homes += [each.parent if each.name == "bin" else each for each in (base, base.resolve())]
    return homes


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _limits(limits: Limits) -> list[str]:
    options = ["--core=0"]
    if limits.cpu is not None:
        # SIGXCPU at the first limit, SIGKILL 5 s later if that is ignored.
        options.append(f"--cpu={limits.cpu}:{limits.cpu + 5}")
    if limits.memory is not None:
        # The data segment, not the address space: virtual machines reserve much address space that they never use.
        options.append(f"--data={limits.memory}")
    if limits.processes is not None:
        # Linux counts all processes of the user, also those outside the sandbox, so these are added.
        options.append(f"--nproc={limits.processes + _threads_of_user()}")
    if limits.file is not None:
        options.append(f"--fsize={limits.file}")
    return options


def _threads_of_user() -> int:
    me, count = os.getuid(), 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == me:
            count += process.info["num_threads"] or 0
    return count
