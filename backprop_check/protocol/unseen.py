"""The parts of the harness that are hidden from a port in the sandbox, and an environment that does not lead to them.

The package computes every expected value, and its cache keeps them; with either, a port could get full marks. So these
are hidden: this package wherever it is installed, the packages of the virtual environment in which it runs, its cache,
the copies that pip and uv keep, and the cases, tests and history in a clone of its repository.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME: Final = "backprop_check"
PACKAGE: Final = Path(__file__).resolve().parents[1]
#: The part of the package that runs a Python callable in a process of its own; the callable sees no other part.
SPEAKING: Final = (PACKAGE / "__init__.py", PACKAGE / "errors.py", PACKAGE / "fields.py", PACKAGE / "protocol")
#: Folders in a clone of the repository that contain values, right implementations, or copies of the package.
_OF_A_CLONE: Final = ("cases", "tests", "reports", "build", "dist", ".git")
#: The place where uv unpacks our package; other packages there may be a port's.
_UNPACKED: Final = f"uv/archive-v*/*/{_NAME}"
_SITES: Final = ("lib/python*/site-packages", "lib64/python*/site-packages", "lib/python*/dist-packages")


def own_environment() -> Path | None:
    """The virtual environment in which the harness runs; None where it runs in a Python that others use too."""
    return Path(sys.prefix).resolve() if sys.prefix != sys.base_prefix else None


def own_packages() -> list[Path]:
    """The packages of that environment. Its Python itself is not hidden, so that a wrapper that leads to it works."""
    own = own_environment()
    return [] if own is None else [place.resolve() for site in _SITES for place in sorted(own.glob(site))]


def own_places() -> list[Path]:
    """Files and folders that no port may read, whatever program it is."""
    clone = PACKAGE.parent
    places = [PACKAGE, *(place / _NAME for place in _where_packages_are())]
    if (clone / "pyproject.toml").is_file() and (clone / "cases").is_dir():
        places += [clone / name for name in _OF_A_CLONE]
    if sys.pycache_prefix is not None:
        places.append(Path(sys.pycache_prefix))  # the package once more, compiled
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places += [caches / "pip", *caches.glob(_UNPACKED)]
    return [place for place in dict.fromkeys(each.resolve() for each in places) if place.exists()]


def user_folder() -> Path:
    """Where a user's caches are: ``BACKPROP_CHECK_CACHE``, or as the system has it."""
    if own := os.environ.get("BACKPROP_CHECK_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "backprop-check"


def kept_values() -> Path:
    """The folder of the cache of expected values; it may not exist yet."""
    return user_folder().absolute()


def without_own(env: Mapping[str, str], program: str) -> dict[str, str]:
    """An environment that does not lead to the harness: neither to its programs nor to its modules.

    So ``python3`` is the port's own. Where ``program`` is found in the harness's environment alone, the search path
    stays as it is.
    """
    cleaned = {key: value for key, value in env.items() if not key.startswith("BACKPROP_CHECK_")}
    if "PYTHONPATH" in cleaned:
        cleaned["PYTHONPATH"] = os.pathsep.join(
            place for place in cleaned["PYTHONPATH"].split(os.pathsep) if not _leads_to_modules(place)
        )
    own = own_environment()
    if own is None or "PATH" not in cleaned:
        return cleaned
    others = os.pathsep.join(
        place for place in cleaned["PATH"].split(os.pathsep) if not Path(place).resolve().is_relative_to(own)
    )
    if os.sep not in program and shutil.which(program, path=others) is None:
        return cleaned
    cleaned["PATH"] = others
    if Path(cleaned.get("VIRTUAL_ENV", "/")).resolve() == own:
        for name in ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"):
            cleaned.pop(name, None)
    return cleaned


def _leads_to_modules(place: str) -> bool:
    own = own_environment()
    folder = Path(place).resolve()
    return (folder / _NAME).exists() or (own is not None and folder.is_relative_to(own))


def _where_packages_are() -> Iterator[Path]:
    """Folders of packages: this Python's, those of the Pythons on the search path, and those to which these lead."""
    yield from map(Path, sys.path)
    homes = {Path(sys.base_prefix), Path.home() / ".local"}
    for place in filter(None, os.environ.get("PATH", "").split(os.pathsep)):
        programs = Path(place)
        homes |= {programs.resolve().parent, (programs / "python3").resolve().parent.parent}
    for home in sorted(homes):
        for site in _SITES:
            for packages in home.glob(site):
                yield packages
                yield from _named_by_pth(packages)


def _named_by_pth(packages: Path) -> Iterator[Path]:
    """The folders that the .pth files of a folder of packages add to it: an editable install is elsewhere."""
    for file in packages.glob("*.pth"):
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        yield from (packages / line.strip() for line in lines if line.strip() and not line.startswith(("import", "#")))
