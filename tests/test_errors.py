"""Errors have a code, a cause and a hint: a code means one thing, ERRORS.md lists it, and commands show the others."""

from __future__ import annotations

import ast
import pickle
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from click.testing import CliRunner

import backprop_check
from backprop_check import errors
from backprop_check.cli import main
from backprop_check.config import Configured, open_configured
from backprop_check.errors import BackpropCheckError, CaseError, ConfigurationError, HarnessError, StartError
from backprop_check.protocol import open_implementation
from backprop_check.running.processes import sendable

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(backprop_check.__file__).parent
TABLE = (PACKAGE / "ERRORS.md").read_text(encoding="utf-8")

#: The classes of errors by name.
KINDS: dict[str, type[BackpropCheckError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and name.endswith("Error")
}

#: The code of a ``CaseError`` that gives none: what is wrong is told by its path, what was expected and what came.
ANY_CASE = "bad-case"


class Made(NamedTuple):
    """A place in the code where an error is made."""

    code: str
    kind: str
    where: str


def makers(tree: ast.Module) -> dict[str, str]:
    """Functions that make an error of the code they are given, with its class: ``def _other(self, code) -> …Error``."""
    return {
        node.name: node.returns.id
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Name) and node.returns.id in KINDS
        if "code" in [each.arg for each in node.args.args]
    }


def made_in(path: Path) -> Iterator[Made]:
    """Every error that a module makes; fails where one has no code that can be read in the source."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    helpers = makers(tree)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in helpers]
    inside = {call for each in functions for call in ast.walk(each)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        kind = helpers.get(name) or (name if name in KINDS and node not in inside else None)
        if kind is None:
            continue
        where = f"{path.relative_to(PACKAGE)}:{node.lineno}"
        given = {each.arg: each.value for each in node.keywords}
        code = given.get("code", ast.Constant(ANY_CASE)) if kind == "CaseError" else node.args[0]
        word = code.value if isinstance(code, ast.Constant) else None
        assert isinstance(word, str), f"{where}: the code of an error has to be a word in the source"
        yield Made(word, kind, where)


MADE = [
    each
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in ("ports", "errors.py")
    for each in made_in(path)
]


def test_every_code_means_one_thing() -> None:
    """A code is a few words in kebab case, and stands in one place only."""
    assert len(MADE) > 100
    places: dict[str, list[str]] = {}
    for made in MADE:
        places.setdefault(made.code, []).append(made.where)
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", made.code), made
    assert {code: found for code, found in places.items() if len(found) > 1 and code != ANY_CASE} == {}


def test_every_code_is_in_the_table() -> None:
    """ERRORS.md has each code once, with the exit code of its class and a sentence, and no other code."""
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\d) \| (\S.*) \|$", TABLE, re.MULTILINE)
    assert len(rows) == len({code for code, _, _ in rows}) == TABLE.count("\n| `")
    written = {made.code: str(KINDS[made.kind].exit_code) for made in MADE}
    assert {code: exit_code for code, exit_code, _ in rows} == written


def test_the_text_is_the_cause_and_the_hint() -> None:
    """The text of an error stays one sentence; what a program wrote follows it."""
    error = StartError("no-hello", "it did not answer", "is it slow?", "; ", "Traceback")
    assert str(error) == "it did not answer; is it slow?\nits stderr ends with:\nTraceback"
    assert error.sentence == "it did not answer; is it slow?"
    assert str(ConfigurationError("bad-kinks", "kinks: expected 'any'")) == "kinks: expected 'any'"
    nearer = error.with_cause("on host a: it did not answer")
    assert (type(nearer), nearer.code, nearer.hint) == (StartError, "no-hello", "is it slow?")
    assert str(nearer).startswith("on host a: it did not answer; is it slow?")


def test_errors_travel_between_processes() -> None:
    """With their fields: from a worker, and through pickle."""
    start = StartError("no-hello", "it did not answer", "is it slow?", "; ", "Traceback")
    case = CaseError("$.network", "a list", "3", "x.json", code="bad-case-file", hint="mend it")
    for error in (start, case, HarnessError("witnesses-disagree", "they differ")):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
    assert vars(sendable(start)) == vars(start)
    sent = pickle.loads(pickle.dumps(sendable(case)))  # noqa: S301 - our own
    assert (type(sent), sent.code, sent.cause) == (HarnessError, "bad-case-file", case.cause)


@pytest.mark.parametrize(
    ("arguments", "code", "cause", "hint"),
    [
        (["run", "no-such-program"], 3, 'the command "no-such-program" was not found', "install it, put it on PATH"),
        (["run", "x", "--exercise", "--hints-only"], 2, "--exercise shows the formula", "give one of them"),
        (["run", "x", "--require", "conv"], 2, "--require conv: expected a level", "did you mean conv"),
        (["run", "python:json:dump_s"], 2, '"json" has no "dump_s"', "did you mean dumps"),
        (["run", "--all"], 2, "no implementation is configured", "add one to backprop-check.toml"),
        (["explain", "mazur"], 2, "the names of several cases begin with 'mazur'", "give more of the name"),
        (["explain", "BP999"], 2, "there is no bug 'BP999'", "did you mean"),
        (["init", "javascrpt"], 2, "there is no port for 'javascrpt'", "did you mean javascript"),
        (["guide", "--html", "no/such.html"], 2, "--html no/such.html: cannot be written", "choose another path"),
        (["report", "nowhere.json", "--html", "x.html"], 2, "nowhere.json cannot be read", "Write one with run --json"),
    ],
)
def test_commands_show_cause_and_hint(
    arguments: list[str], code: int, cause: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order, in one line of standard error."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    (line,) = done.stderr.splitlines()
    before, found, after = line.partition(cause)
    assert (before.startswith("backprop-check: "), found) == (True, cause), line
    assert hint in after, line


def test_an_error_of_a_callable_keeps_its_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported in another process, which writes other things to standard error too."""
    monkeypatch.chdir(tmp_path)
    text = "import sys\nprint('loading', file=sys.stderr)\ndef backprop(case): ...\n"
    (tmp_path / "printing_module.py").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        open_implementation("python:printing_module:backprob", isolated=True)
    error = caught.value
    assert (error.code, error.hint) == ("no-such-callable", "did you mean backprop?")
    assert error.cause == '"printing_module" has no "backprob"'
    assert error.stderr == "loading"


def test_a_failed_setup_shows_what_it_wrote(tmp_path: Path) -> None:
    """Its exit code is the cause, its standard error is apart."""
    script = tmp_path / "setup.py"
    script.write_text("import sys\nsys.exit('no compiler')\n")
    with pytest.raises(BackpropCheckError) as caught:
        open_configured(Configured("unused", setup=f'"{sys.executable}" "{script}"'))
    error = caught.value
    assert (error.code, error.stderr.strip()) == ("setup-failed", "no compiler")
    assert error.cause.endswith("failed with exit code 1")
    assert error.hint
