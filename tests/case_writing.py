"""How the repository's case files are written. Each script ``tests/make_*_cases.py`` writes a folder of ``cases/``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.run import witnesses
from backprop_check.wire import as_reply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backprop_check.network import Case

CASES = Path(__file__).parents[1] / "cases"


def case_file(one: Case, about: dict[str, Any], *, trajectory: bool = True) -> bytes:
    """The file's bytes: indented, with every row of numbers on one line; ``about`` is what it says of its case."""
    right = witnesses(one)
    expected = as_reply(right.values, len(one.network.layers), trajectory=trajectory, form=right.form)
    whole = {
        "schema": 1,
        "name": one.name,
        **about,
        "case": msgspec.json.decode(one.request()),
        "expected": {"id": one.id, **expected},
    }
    text = msgspec.json.format(msgspec.json.encode(whole), indent=1).decode()
    return re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda m: "[" + re.sub(r",\s+", ", ", m[1]) + "]", text).encode() + b"\n"


def write(folder: str, files: Iterable[tuple[Case, dict[str, Any]]], *, trajectory: bool = True) -> None:
    """Write a suite's files anew."""
    (CASES / folder).mkdir(parents=True, exist_ok=True)
    for one, about in files:
        (CASES / folder / f"{one.name}.json").write_bytes(case_file(one, about, trajectory=trajectory))
