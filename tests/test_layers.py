"""Imports go one way: lower layers do not import from higher ones; and heavy packages are imported only where
needed.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import backprop_check
from backprop_check.cli import COMMANDS

PACKAGE = Path(backprop_check.__file__).parent

#: From the lowest up. A line may import from the lines above it, and from itself; names are modules and packages.
LAYERS = [
    ["errors"],
    ["fields"],
    ["functions"],
    ["kinds"],
    ["case"],
    ["reference"],
    ["numbers"],
    ["protocol"],
    ["compare"],
    ["witness"],
    ["cases"],
    ["diagnose"],
    ["running"],
    ["config"],
    ["explain"],
    ["report"],
    ["guide"],
    ["api"],
    [""],  # the package itself: check, Results, Mismatched
    ["commands"],
    ["pytest_failures"],
    ["pytest_items"],
    ["pytest_plugin"],
    ["cli"],
    ["__main__"],
]

#: Packages that are slow to import, and must not be imported at a start.
HEAVY = ("torch", "numpy", "pandas", "jinja2")


def files() -> list[Path]:
    """Every module except the ports, which are programs of their own."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in NO_MODULES]


NO_MODULES = ("ports", "_cases")


def module_of(path: Path) -> str:
    """``diagnose/bugs/loss.py`` is ``diagnose.bugs.loss``; the package itself is the empty name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in files()}


def imports(path: Path) -> list[tuple[int, str]]:
    """Lines and modules of ours that a file imports: at its top, inside functions, for the type checker."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            names = [alias.name for alias in node.names if alias.name != "__version__"]  # a constant, set first of all
            inner = [f"{node.module}.{name}" for name in names]
            found += [
                (node.lineno, whole if whole.removeprefix("backprop_check.") in MODULES else str(node.module))
                for whole in inner
            ]
    ours = [
        (line, name.removeprefix("backprop_check").removeprefix("."))
        for line, name in found
        if name.split(".")[0] == "backprop_check"
    ]
    assert [name for _, name in ours if name not in MODULES] == [], path
    return ours


def height(module: str) -> int:
    """The number of a module's layer; the first test reports a module without one."""
    return next((number for number, names in enumerate(LAYERS) if module.split(".", maxsplit=1)[0] in names), 0)


def test_every_module_has_a_layer() -> None:
    """A new module needs a line in LAYERS: as low as its imports allow."""
    assert {module.split(".")[0] for module in MODULES} - {name for names in LAYERS for name in names} == set()


@pytest.mark.parametrize("path", [pytest.param(path, id=module_of(path) or "backprop_check") for path in files()])
def test_imports_go_one_way(path: Path) -> None:
    """No module imports from a layer above its own."""
    own = height(module_of(path))
    upward = [f"{path.name}:{line} imports {name}" for line, name in imports(path) if height(name) > own]
    assert upward == []


def test_no_circle_of_modules() -> None:
    """Within a layer too, no two modules import each other, not even for types. A package's ``__init__`` is its
    front.
    """
    graph = {module_of(path): {name for _, name in imports(path)} for path in files()}
    inside = {  # a module may import a sister through the package's front only where that is no circle by itself
        name: {other for other in others - {name} if not name.startswith(f"{other}.")} for name, others in graph.items()
    }
    try:
        order = list(TopologicalSorter(inside).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert set(order) == MODULES


def test_a_wrong_import_is_seen(tmp_path: Path) -> None:
    """Imports of every form are found, wherever they are."""
    text = (
        "import backprop_check.running.one_case\nfrom backprop_check import api, __version__\n"
        "def f():\n    from backprop_check.diagnose import signs\n"
        "    from backprop_check.compare.compare import compare\n"
    )
    (tmp_path / "x.py").write_text(text)
    found = [name for _, name in imports(tmp_path / "x.py")]
    assert sorted(found) == ["api", "compare.compare", "diagnose.signs", "running.one_case"]


#: Public names of the standard library that begin with an underscore so that they do not clash with a user's fields.
PUBLIC = {"_asdict", "_replace", "_exit"}


def is_private(name: object) -> bool:
    """``_name``, but not ``__name__``."""
    return isinstance(name, str) and name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def own_names(tree: ast.Module) -> set[str]:
    """The names that a module defines: functions, classes, and names or attributes that it assigns."""
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return found | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


def private_uses(path: Path) -> list[str]:
    """Every use of another module's private name: ``from m import _x``, ``x._y``, ``getattr(x, "_y")``.

    Private is what the module does not define itself. A class may use what it inherits: ``self._y``, ``super()._y``.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own, found = own_names(tree), []
    for node in ast.walk(tree):
        names: list[object] = []
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            inherited = ast.unparse(node.value) in ("self", "cls", "super()")
            names = [] if inherited or node.attr in own else [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            names = [each.value for each in node.args[1:2] if isinstance(each, ast.Constant) and each.value not in own]
        line = getattr(node, "lineno", 0)
        found += [f"{path.name}:{line} uses {name}" for name in names if is_private(name)]
    return found


@pytest.mark.parametrize("path", [pytest.param(path, id=module_of(path) or "backprop_check") for path in files()])
def test_private_names_stay_in_their_module(path: Path) -> None:
    """Only public names of other modules are used."""
    assert private_uses(path) == []


def test_a_private_name_of_another_is_seen(tmp_path: Path) -> None:
    """In every form; a module's own, and those of the standard library, are allowed."""
    (tmp_path / "x.py").write_text(
        "from a import _b\nimport os\nos._exit(0)\n"
        "class C:\n    def __init__(self, other):\n        self._own = other._own\n        other._theirs()\n"
        "    def f(self, y):\n        return getattr(y, '_hidden'), y.__class__, super()._inherited\n"
    )
    assert [use.split()[-1] for use in private_uses(tmp_path / "x.py")] == ["_b", "_theirs", "_hidden"]


#: Runs a program as ``python -m`` or a script would, and writes down at its end what it has imported.
WATCH = """
import atexit, runpy, sys
sys.argv = sys.argv[1:]
atexit.register(lambda: open("modules.txt", "w").write("\\n".join(sys.modules)))
if sys.argv[0] == "backprop-check":
    from backprop_check.cli import main
    main(prog_name="backprop-check")
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def imported_by(arguments: list[str], folder: Path) -> set[str]:
    """The modules that a fresh interpreter has imported when the program ends; it must exit with 0."""
    command = [sys.executable, "-c", WATCH, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return set((folder / "modules.txt").read_text(encoding="utf-8").split())


def heavy(names: set[str]) -> list[str]:
    """The heavy ones among them."""
    return sorted(name for name in names if name in HEAVY)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    """Of the command line and of each of its commands."""
    for command in ([], *([name] for name in COMMANDS)):
        names = imported_by(["backprop-check", *command, "--help"], tmp_path)
        assert "click" in names
        assert heavy(names) == [], command


def test_pytest_without_the_switch_imports_nothing_heavy(tmp_path: Path) -> None:
    """The plugin is loaded, and costs nothing until ``--backprop-check`` is given."""
    (tmp_path / "test_mine.py").write_text("def test_mine():\n    pass\n")
    names = imported_by(["pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"], tmp_path)
    assert "backprop_check.pytest_plugin" in names
    assert "backprop_check.pytest_items" not in names
    assert heavy(names) == []


def test_what_is_heavy_is_seen(tmp_path: Path) -> None:
    """The two tests above do find heavy imports."""
    assert heavy(imported_by(["backprop-check", "cases", "--suite", "published"], tmp_path))
