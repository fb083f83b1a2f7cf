"""Untrusted files end in a value or in a sentence, whatever they contain, in a bounded time."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

from reading import CASE_FILE, READERS, read

from backprop_check.case.limits import DEEPEST, LARGEST_TOML, TooMuchError, deeper, read_toml, read_within
from backprop_check.case.network import MOST_WORK
from backprop_check.cases.files import LARGEST

fuzz = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

PIECES = [
    *(b"null", b"true", b"-1", b"1e999", b"9" * 5000, b"[" * 3000, b"]" * 3000, b'{"a":' * 3000, b"[]", b"{}", b'""'),
    *(b"NaN", b'"\\ud800"', b"\x1b[31m", b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b"\n", b"\n],", b',"reported":', b'"x"', b"a." * 3000),
    *(b"[[known]]\n", b"[implementations.x]\n", b'command = "x"\n', b"[" + b"x." * 3000 + b"x]\n", b"2000000000"),
]  # fmt: skip
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A valid file of each kind."""
    folder = tmp_path_factory.mktemp("right")
    return {name: made(folder) for name, (_, made) in READERS.items()}


@pytest.mark.parametrize("name", READERS)
def test_a_right_file_is_read(name: str, right: dict[str, bytes], tmp_path: Path) -> None:
    """The file that is corrupted is valid before."""
    assert read(name, right[name], tmp_path) is None


@pytest.mark.parametrize("name", READERS)
@fuzz
@given(where=edits)
def test_a_spoilt_file_ends_in_a_sentence(
    name: str, where: list[tuple[float, int, bytes]], right: dict[str, bytes], tmp_path: Path
) -> None:
    """Pieces inserted, bytes removed."""
    data = bytearray(right[name])
    for share, length, piece in where:
        at = int(share * len(data))
        data[at : at + length] = piece
    began = time.process_time()
    read(name, bytes(data), tmp_path)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", READERS)
@fuzz
@given(data=st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_any_bytes_end_in_a_sentence(name: str, data: bytes, tmp_path: Path) -> None:
    """Files that were never valid."""
    read(name, data, tmp_path)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in _places(part, (*path, key)))]


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    -0.5,
    "",
    "x",
    "\x1b[2J\u202e",
    [],
    [[]],
    {},
    {"a": []},
    [None],
    "9" * 9000,
]


#: What always stands in every place of a results file: each takes seconds there.
ALWAYS: tuple[Any, ...] = (None, "\x1b[2J\u202e", {})


def _odd(name: str, odd: Any) -> Any:
    marks = [pytest.mark.thorough] if name == "results" and odd not in ALWAYS else []
    return pytest.param(name, odd, id=f"{name}-{json.dumps(odd)[:20]}", marks=marks)


@pytest.mark.parametrize(
    ("name", "odd"),
    [_odd(name, odd) for name in ("case file", "bare case", "results", "kept failures") for odd in ODD],
)
def test_every_place_can_hold_anything(name: str, odd: Any, right: dict[str, bytes], tmp_path: Path) -> None:
    """Each value of a valid file is replaced in turn, or left out."""
    whole = json.loads(right[name])
    for path in _places(whole)[1:]:
        value = json.loads(right[name])
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = odd
        read(name, json.dumps(value).encode(), tmp_path)
        del parent[path[-1]]
        if odd is None:
            read(name, json.dumps(value).encode(), tmp_path)


def test_what_is_too_deep_too_large_or_too_much_work(tmp_path: Path) -> None:
    """The sentence names the limit."""
    deep: Any = 1
    for _ in range(DEEPEST + 5):
        deep = [deep]
    said = read("case file", json.dumps({**CASE_FILE, "expected": {"id": deep}}).encode(), tmp_path)
    assert said is not None
    assert f"at most {DEEPEST} levels" in said
    many = {**CASE_FILE, "case": {**CASE_FILE["case"], "steps": MOST_WORK}}
    said = read("case file", json.dumps(many).encode(), tmp_path)
    assert said is not None
    assert "products of weights, samples and steps" in said
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(TooMuchError, match=f"more than {LARGEST} bytes"):
        read_within(large, LARGEST)
    for text in ("x = " + "[" * 500 + "]" * 500, "x = " + "[" * 100_000, "a." * 70 + "b = 1"):
        (tmp_path / "deep.toml").write_text(text)
        with pytest.raises(ValueError, match=r"nested deeper than|Unclosed|Invalid"):
            read_toml(tmp_path / "deep.toml")
    with (tmp_path / "deep.toml").open("wb") as file:
        file.truncate(LARGEST_TOML + 1)
    with pytest.raises(TooMuchError):
        read_toml(tmp_path / "deep.toml")
    assert deeper([[[1]]], 2)
    assert not deeper([[[1]]], 3)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero here")
def test_a_device_without_end(tmp_path: Path) -> None:
    """It is read up to the limit, no further."""
    link = tmp_path / "backprop-check.toml"
    link.symlink_to("/dev/zero")
    with pytest.raises(TooMuchError):
        read_toml(link)
