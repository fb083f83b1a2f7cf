"""The ports in JavaScript, TypeScript, Go, Rust, Java, Kotlin and C#, built and run by their real toolchains."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers import tool
from port_conversation import check_answers, check_functions
from port_support import LONG, PORTS, STAGES, about, build, conforms, port_folder, runs_but_is_wrong, wrong_stages

if TYPE_CHECKING:
    from collections.abc import Collection

#: A port, and which of the toolchains of its port.toml builds and runs it.
TOOLCHAINS = {
    "javascript": ("javascript", ""),
    "typescript": ("typescript", ""),
    "go": ("go", ""),
    "rust-cargo": ("rust", ""),
    "rust-rustc": ("rust", "otherwise"),
    "java": ("java", ""),
    "kotlin": ("kotlin", ""),
    "csharp-mono": ("csharp", "otherwise"),
}

#: Kotlin's compiler takes half a minute, and cargo builds what rustc builds.
SLOW = ("kotlin", "rust-cargo")
QUICK = [toolchain for toolchain in TOOLCHAINS if toolchain not in SLOW]

every_toolchain = pytest.mark.parametrize("toolchain", TOOLCHAINS, scope="module")


def made(toolchain: str, parent: Path, *, exercise: bool = False, done: Collection[str] = ()) -> tuple[str, Path]:
    """The command that runs the port, and the folder in which it was built."""
    language, variant = TOOLCHAINS[toolchain]
    port = about(language)
    assert port["tested"]
    commands = port[variant] if variant else port
    for name in commands["needs"]:
        tool(name)
    folder = port_folder(language, parent, exercise=exercise, done=done)
    if language == "typescript":
        (folder / "node_modules").symlink_to(node_modules(language))
        build(folder, "node node_modules/typescript/bin/tsc")  # the build of port.toml, which is "npm install && tsc"
    elif "build" in commands:
        build(folder, commands["build"])
    return commands["run"], folder


def node_modules(language: str) -> Path:
    """The packages of the port's package.json, fetched once into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backprop-check-tests" / language
    package = (PORTS / language / "package.json").read_text(encoding="utf-8")
    kept = cache / "package.json"
    if not kept.is_file() or kept.read_text(encoding="utf-8") != package:
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        npm = [tool("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock"]
        kept.write_text(package, encoding="utf-8")
        done = subprocess.run(npm, cwd=cache, capture_output=True, text=True, check=False, timeout=LONG)
        if done.returncode:
            kept.unlink()
            pytest.fail(f"npm could not fetch the TypeScript compiler: {done.stderr}")
    return cache / "node_modules"


@pytest.fixture(scope="module")
def port(toolchain: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return made(toolchain, tmp_path_factory.mktemp(toolchain))


@every_toolchain
def test_port_conforms(port: tuple[str, Path]) -> None:
    """500 generated cases and the published ones, not one finding, no digit of the echo lost."""
    conforms(*port)


@every_toolchain
def test_port_answers_whatever_comes(port: tuple[str, Path]) -> None:
    """Skips unsupported cases, reports errors, goes on, writes NaN as text, and exits when stdin ends."""
    check_answers(*port)


@pytest.mark.thorough
@every_toolchain
def test_functions_are_precise(port: tuple[str, Path]) -> None:
    """Every activation to the last few digits, from the tails to near 0, against 50 digits."""
    check_functions(*port)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "toolchain", [pytest.param(each, marks=pytest.mark.slow) if each in SLOW else each for each in TOOLCHAINS]
)
def test_exercise_still_runs(toolchain: str, tmp_path: Path) -> None:
    """Without the backward pass the port builds, answers, and is wrong in every stage."""
    port = made(toolchain, tmp_path, exercise=True)
    runs_but_is_wrong(*port)
    assert wrong_stages(*port) == set(STAGES)


@pytest.mark.slow
@pytest.mark.parametrize("toolchain", QUICK)
def test_exercise_goes_stage_by_stage(toolchain: str, tmp_path: Path) -> None:
    """With the first stages done, just the others are wrong: each can be judged before the next is begun."""
    for count in range(1, len(STAGES)):
        port = made(toolchain, tmp_path / str(count), exercise=True, done=STAGES[:count])
        assert wrong_stages(*port) == set(STAGES[count:])


@pytest.mark.parametrize("language", sorted({language for language, _ in TOOLCHAINS.values()}))
def test_commands_are_the_same_everywhere(language: str) -> None:
    """README, workflow and port.toml have the same commands, and the named files exist."""
    port, folder = about(language), PORTS / language
    readme = (folder / "README.md").read_text(encoding="utf-8")
    workflow = (folder / ".github" / "workflows" / "backprop-check.yml").read_text(encoding="utf-8")
    commands = [command for command in (port.get("build"), f'backprop-check run "{port["run"]}"') if command]
    for command in commands:
        assert f"    {command}\n" in readme
        assert f"- run: {command}" in workflow
    for command in port.get("otherwise", {}).values():
        assert isinstance(command, list) or f"`{command}`" in readme
    assert [name for name in port["main"] if not (folder / name).is_file() or f"`{name}`" not in readme] == []
    marked = [path for path in folder.rglob("*") if path.is_file() and "EXERCISE BEGIN" in path.read_text("utf-8")]
    assert [path.relative_to(folder).as_posix() for path in marked] == port["main"][:1]
