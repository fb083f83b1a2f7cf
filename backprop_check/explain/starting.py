"""A port to start from: the folder of a language in the installed package, copied to where the user wants it."""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_check.errors import ELSEWHERE, ConfigurationError
from backprop_check.explain.exercise import LEFT_OUT, STAGES, finished, unfinished

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_ALIASES = {
    "js": "javascript", "node": "javascript", "ts": "typescript", "c++": "cpp", "cxx": "cpp", "c#": "csharp",
    "cs": "csharp", "golang": "go", "py": "python", "rb": "ruby", "rs": "rust", "kt": "kotlin", "jl": "julia",
}  # fmt: skip

#: Files and folders in a port's folder that are not copied.
_NOT_COPIED = {"port.toml", "__pycache__", "node_modules", ".dart_tool", "target", "classes", "out", "build"}


class Port:
    """A port that the package ships, with the contents of its ``port.toml``."""

    def __init__(self, folder: Traversable) -> None:
        self.folder, self.language = folder, folder.name
        about: dict[str, Any] = tomllib.loads((folder / "port.toml").read_text(encoding="utf-8"))
        self.title: str = about["title"]
        self.build: str | None = about.get("build")
        self.run: str = about["run"]
        self.needs: list[str] = about["needs"]
        self.main: list[str] = about["main"]
        self.tested: bool = about["tested"]
        self.hint: str = about["hint"]


def ports() -> dict[str, Port]:
    """Every port to start from, by the name of its folder."""
    folders = resources.files("backprop_check").joinpath("ports").iterdir()
    found = [folder for folder in folders if folder.is_dir() and (folder / "port.toml").is_file()]
    return {folder.name: Port(folder) for folder in sorted(found, key=lambda folder: folder.name)}


def find_port(language: str) -> Port:
    """The port for a language. Raises ``ConfigurationError`` where there is none, with the languages and similar
    names.
    """
    known = ports()
    wanted = language.strip().casefold()
    wanted = _ALIASES.get(wanted, wanted)
    if wanted in known:
        return known[wanted]
    close = difflib.get_close_matches(wanted, [*known, *_ALIASES], 2)
    names = [_ALIASES.get(each, each) for each in close]
    meant = f"did you mean {' or '.join(dict.fromkeys(names))}? The" if names else "the"
    hint = f"{meant} languages are {', '.join(known)}"
    raise ConfigurationError("unknown-language", f"there is no port for '{language}'", hint)


def copy_port(port: Port, target: Path, *, exercise: bool = False) -> list[str]:
    """Copy a port to ``target``, which must be new or empty. Returns the copied files, relative to ``target``.

    As an exercise its marked parts become TODOs, and an EXERCISE.md explains the next steps; otherwise only the marks
    are removed. Raises ``ConfigurationError`` where ``target`` is not empty or cannot be written, or the port has no
    exercise.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        hint = "give another folder, nothing is overwritten"
        raise ConfigurationError("folder-not-empty", f"{target} already exists", hint)
    stages: list[str] = []
    written = []
    try:
        for path, content in _files(port.folder, Path()):
            if b"EXERCISE BEGIN" in content:
                text = content.decode()
                text, found = unfinished(text) if exercise else (finished(text), [])
                stages += found
                content = text.encode()  # noqa: PLW2901 - the same file, made ready
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content)
            written.append(path.as_posix())
        if exercise:
            missing = [stage for stage in LEFT_OUT if stage not in stages]
            if missing:
                cause = f"the port in {port.title} has no exercise yet ({', '.join(missing)})"
                raise ConfigurationError("no-exercise", cause, "leave out --exercise, or give another language", "; ")
            (target / "EXERCISE.md").write_text(instructions(port), encoding="utf-8")
            written.append("EXERCISE.md")
    except OSError as error:
        cause = f"{target} cannot be written: {error.strerror or error}"
        raise ConfigurationError("port-not-written", cause, ELSEWHERE, "; ") from None
    return sorted(written)


def _files(folder: Traversable, path: Path) -> list[tuple[Path, bytes]]:
    found: list[tuple[Path, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name in _NOT_COPIED or entry.name.endswith((".pyc", ".class", ".o")):
            continue
        if entry.is_dir():
            found += _files(entry, path / entry.name)
        else:
            found.append((path / entry.name, entry.read_bytes()))
    return found


def instructions(port: Port) -> str:
    """The text of EXERCISE.md: the stages of the backward pass, and the command that says which one is next."""
    files = " and ".join(f"`{name}`" for name in port.main)
    again = f"    {port.build}\n" if port.build else ""
    stages = "\n".join(f"{number}. {stage.name}" for number, stage in enumerate(STAGES, 1))
    return f"""# Exercise: backpropagation in {port.title}

The conversation with backprop-check and the forward pass are there. The backward pass is yours: it is marked with
TODO in {files}, {len(LEFT_OUT)} stages in all. `backprop-check guide` explains everything you need, from the beginning.

After every change:

{again}    backprop-check run "{port.run}" --exercise

It says what the next stage is about, or what is still wrong with it: which neuron of which network, the number that
came and the number it should be, and the name of the mistake if it is a common one. The next stage is shown when this
one is right. The stages, of which the first two are right from the start:

{stages}

`backprop-check explain CASE` works out any of its cases, number by number. When every stage is right, leave out
`--exercise`: the port is then judged like any other.
"""
