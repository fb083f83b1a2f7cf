"""How the repository's case files are written. Each other script of this folder writes one folder of ``cases/``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.compare.reply_form import as_reply
from backprop_check.running.one_case import witnesses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backprop_check.case.network import Case

CASES = Path(__file__).parents[2] / "cases"


def case_file(one: Case, about: dict[str, Any], *, trajectory: bool = True) -> bytes:
    """The file's bytes; ``about`` holds the fields that describe the case."""
    return laid_out(_content(one, about, trajectory=trajectory))


def _content(one: Case, about: dict[str, Any], *, trajectory: bool) -> dict[str, Any]:
    right = witnesses(one)
    expected = as_reply(right.values, len(one.network.layers), trajectory=trajectory, form=right.form)
    return {
        "schema": 1,
        "name": one.name,
        **about,
        "case": msgspec.json.decode(one.request()),
        "expected": {"id": one.id, **expected},
    }


def laid_out(content: dict[str, Any]) -> bytes:
    """A file's content as text: indented, with every row of numbers on one line."""
    text = msgspec.json.format(msgspec.json.encode(content), indent=1).decode()
    return re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda m: "[" + re.sub(r",\s+", ", ", m[1]) + "]", text).encode() + b"\n"


def assert_written(written: bytes, one: Case, about: dict[str, Any]) -> None:
    """Check that a file is the one that would be written today, except for the last digits of the expected values.

    These come from exp, tanh and erf, which the C library of another machine rounds differently. The bounds say how far
    they may be off: the caller compares them with the witnesses.
    """
    found, made = msgspec.json.decode(written), _content(one, about, trajectory=True)
    assert laid_out(found) == written
    assert list(found) == list(made)
    assert _without_numbers(found.pop("expected")) == _without_numbers(msgspec.to_builtins(made.pop("expected")))
    assert found == msgspec.to_builtins(made)


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_numbers(each) for each in value]
    return "a number" if isinstance(value, float | int) else value


def write(folder: str, files: Iterable[tuple[Case, dict[str, Any]]], *, trajectory: bool = True) -> None:
    """Rewrite a suite's files."""
    (CASES / folder).mkdir(parents=True, exist_ok=True)
    for one, about in files:
        (CASES / folder / f"{one.name}.json").write_bytes(case_file(one, about, trajectory=trajectory))
