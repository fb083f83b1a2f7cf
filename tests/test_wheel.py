"""The wheel, installed elsewhere: it contains everything that the package ships, and finds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]
FOLDERS = ("backprop_check", "cases")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by this environment's hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    done = subprocess.run([*build, str(folder), str(ROOT)], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


class Installed:
    """A fresh environment with the wheel; its dependencies come from this environment."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.python = folder / "venv" / "bin" / "python"
        self.here = folder / "elsewhere"
        self.here.mkdir()
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=600)
        install = [str(self.python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
        subprocess.run(install, check=True, timeout=600)
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, *command: str) -> str:
        """The output of a program in the environment; it must exit with 0."""
        program = str(self.python.with_name(command[0]))
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.here), "PYTHONUTF8": "1"}
        done = subprocess.run(
            [program, *command[1:]],
            cwd=self.here,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The environment, made once."""
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_all_files_are_in_it(wheel: Path) -> None:
    """The files of the package and the cases in git, and nothing that a build or a run left behind."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the files are compared with what git holds, and this is no clone")
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *FOLDERS]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    there = {name for name in listed if (ROOT / name).is_file()}
    wanted = {name if name.startswith("backprop_check") else f"backprop_check/_{name}" for name in there}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == wanted


def test_it_is_the_installed_one(installed: Installed) -> None:
    """These tests use the wheel, not this checkout; and it is marked as typed."""
    path = installed.run("python", "-c", "import backprop_check; print(backprop_check.__file__)").strip()
    assert Path(path).is_relative_to(installed.python.parents[1])
    assert Path(path).with_name("py.typed").is_file()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--help"], "Run an implementation of backpropagation"),
        (["--version"], "backprop-check, version"),
        (["bugs"], "BP107"),
        (["explain", "BP107"], "weights updated too early"),
        (["explain", "mazur-2x2x2"], "−0.0380982"),
        (["guide"], "Backpropagation from scratch"),
        (["guide", "3"], "chain rule"),
        (["cases", "--suite", "published"], "mazur-2x2x2"),
        (["cases", "--suite", "edge"], "saturat"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_commands(installed: Installed, arguments: list[str], text: str) -> None:
    """Pages, the guide and the cases are found in the installed package."""
    assert text in installed.run("backprop-check", *arguments)


def test_shipped_port(installed: Installed) -> None:
    """The port in the package is found by importlib.resources, and conforms."""
    code = "import importlib.resources as r; print(r.files('backprop_check') / 'ports' / 'python' / 'port.py')"
    port = installed.run("python", "-c", code).strip()
    assert Path(port).is_relative_to(installed.python.parents[1])
    assert "FAIL" not in installed.run("backprop-check", "smoke", f'"{sys.executable}" "{port}"')


def test_init_and_report(installed: Installed) -> None:
    """A port is copied from the package, conforms, and its report has the package's styles and scripts."""
    installed.run("backprop-check", "init", "python", "mine")
    assert (installed.here / "mine" / "README.md").is_file()
    port = f'"{sys.executable}" mine/port.py'
    output = installed.run("backprop-check", "run", port, "--suite", "published", "--html", "report.html")
    assert "file://" in output
    page = (installed.here / "report.html").read_text(encoding="utf-8")
    assert "<script" in page
    assert "<style" in page
    installed.run("backprop-check", "guide", "--html", "guide.html")
    assert "<svg" in (installed.here / "guide.html").read_text(encoding="utf-8")


def test_the_set_up_is_pinned() -> None:
    """constraints.txt pins everything that the set-up installs, including dependencies: it is the same each time."""
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().split()}
    seen: set[str] = set()
    wanted = [("backprop-check", "test"), ("backprop-check", "")]
    while wanted:
        name, extra = wanted.pop()
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if any(each.operator == "==" for each in requirement.specifier):
                continue  # pinned by the package that needs it, as torch does with the packages for a GPU
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                found = canonicalize_name(requirement.name)
                if found not in seen:
                    seen.add(found)
                    wanted += [(found, each) for each in ("", *requirement.extras)]
    assert "torch" in seen
    assert seen - pinned == set()
