"""The ports in JavaScript, TypeScript, Go, Rust, Java, Kotlin and C#, built and run by their real toolchains."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from port_conversation import check_answers
from port_support import PORTS, about, build, conforms, port_folder, runs_but_is_wrong, tool

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

pytestmark = pytest.mark.parametrize("toolchain", TOOLCHAINS, scope="module")


def made(toolchain: str, parent: Path, *, exercise: bool = False) -> tuple[str, Path]:
    """The command that runs the port, and the folder of its own that it was built in."""
    language, variant = TOOLCHAINS[toolchain]
    port = about(language)
    assert port["tested"]
    commands = port[variant] if variant else port
    for name in commands["needs"]:
        tool(name)
    folder = port_folder(language, parent, exercise=exercise)
    if language == "typescript":
        (folder / "node_modules").symlink_to(node_modules(language))
        build(folder, "node node_modules/typescript/bin/tsc")  # the build of port.toml, which is "npm install && tsc"
    elif "build" in commands:
        build(folder, commands["build"])
    return commands["run"], folder


def node_modules(language: str) -> Path:
    """What the port's package.json asks for, fetched once into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "backprop-check-tests" / language
    package = (PORTS / language / "package.json").read_text(encoding="utf-8")
    kept = cache / "package.json"
    if not kept.is_file() or kept.read_text(encoding="utf-8") != package:
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        npm = [tool("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock"]
        kept.write_text(package, encoding="utf-8")
        done = subprocess.run(npm, cwd=cache, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            kept.unlink()
            pytest.fail(f"npm could not fetch the TypeScript compiler: {done.stderr}")
    return cache / "node_modules"


@pytest.fixture(scope="module")
def port(toolchain: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return made(toolchain, tmp_path_factory.mktemp(toolchain))


def test_port_conforms(port: tuple[str, Path]) -> None:
    """500 generated cases and the published ones, not one finding, no digit of the echo lost."""
    conforms(*port)


def test_port_answers_whatever_comes(port: tuple[str, Path]) -> None:
    """Skips what it does not know, reports what fails, goes on, writes NaN as text, and ends with stdin."""
    check_answers(*port)


def test_exercise_still_runs(toolchain: str, tmp_path: Path) -> None:
    """Without the backward pass the port builds, answers, and is wrong."""
    runs_but_is_wrong(*made(toolchain, tmp_path, exercise=True))
