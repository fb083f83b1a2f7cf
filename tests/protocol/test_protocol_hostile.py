"""Replies whose values are not numbers, and lines that are not replies, through a real process: always a verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from protocol_support import command, converse, nothing_left, patiently
from small_case import CASE, RIGHT

from backprop_check.protocol import SubprocessImplementation
from backprop_check.running.one_case import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from backprop_check.running.one_case import Result


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


PLACES = [
    ("loss",),
    ("input_gradients", 1, 0),
    ("layers", 0, "gradients", "weights", 2, 1),
    ("layers", 1, "gradients", "biases", 0),
    ("layers", 0, "z", 1, 2),
    ("layers", 1, "a", 0, 0),
    ("layers", 0, "delta", 1, 1),
    ("layers", 1, "updated", "weights", 1, 0),
    ("trajectory", 1, "layers", 0, "updated", "biases", 2),
]
#: JSON text in place of a number, and the finding's problem.
NO_NUMBERS = [
    ('"0.5"', "not_a_number"),
    ('"\\u001b[31m<script>"', "not_a_number"),
    ('"\\ud800"', "not_a_number"),
    ("true", "not_a_number"),
    ("null", "not_a_number"),
    ("NaN", "not_finite"),
    ('"NaN"', "not_finite"),
    ('"-Infinity"', "not_finite"),
    ("1e999", "not_finite"),
    ("-1e999", "not_finite"),
    ("9" * 400, "not_finite"),
    ("-" + "9" * 5000, "not_finite"),
    ("[0.5]", "shape"),
    ("[]", "shape"),
    ("{}", "not_a_number"),
    ("[" * 900 + "]" * 900, "shape"),
]
MARK = "@@"


def with_text(place: tuple[str | int, ...], text: str) -> bytes:
    """The right reply with one number replaced by other JSON text."""
    reply = msgspec.json.decode(msgspec.json.encode(RIGHT))
    part = reply
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = MARK
    return json.dumps(reply).replace(f'"{MARK}"', text).encode()


def judged(tmp_path: Path, lines: list[bytes]) -> list[Result]:
    """The results of these replies to the same case, from a port that prints them."""
    file = tmp_path / "replies"
    file.write_bytes(b"\n".join(lines) + b"\n")
    results: list[Result] = []
    with SubprocessImplementation(command("canned", replies=file)) as port:
        for _ in lines:
            results += judge([CASE], port, keep_running=True)
    assert len(results) == len(lines)
    return results


def test_right_reply_passes(tmp_path: Path) -> None:
    """The reply from which the others are made is right."""
    (result,) = judged(tmp_path, [json.dumps(RIGHT).encode()])
    assert (result.outcome, result.mismatches) == ("passed", [])


@pytest.mark.parametrize("place", PLACES, ids=lambda place: "-".join(map(str, place)))
def test_no_number(place: tuple[str | int, ...], tmp_path: Path) -> None:
    """Text, booleans, null, NaN, lists and huge integers are findings about exactly that place."""
    results = judged(tmp_path, [with_text(place, text) for text, _ in NO_NUMBERS])
    for (text, problem), result in zip(NO_NUMBERS, results, strict=True):
        if place == ("loss",) and text == "null":
            # An array or loss that is null counts as absent.
            assert result.outcome == "passed"
            continue
        assert result.outcome == "mismatched", text[:40]
        finding = result.mismatches[0]
        assert finding.problem == problem, text[:40]
        assert finding.layer == (place[place.index("layers") + 1] if "layers" in place else None)
        assert "\x1b" not in result.message
        assert len(result.message) < 5000


def edited(edit: Callable[[dict[str, Any]], object]) -> bytes:
    reply = msgspec.json.decode(msgspec.json.encode(RIGHT))
    edit(reply)
    return msgspec.json.encode(reply)


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda reply: reply.pop("layers"), "shape"),
        (lambda reply: reply["layers"].pop(), "shape"),
        (lambda reply: reply["layers"].append({}), "shape"),
        (lambda reply: reply["layers"][0].pop("gradients"), "missing"),
        (lambda reply: reply["layers"][1]["gradients"].pop("biases"), "missing"),
        (lambda reply: reply["layers"][1]["gradients"].update(gain=[1.0]), "extra"),
        (lambda reply: reply["layers"][0]["gradients"]["weights"].pop(), "shape"),
        (lambda reply: reply["layers"][0]["gradients"]["weights"][1].append(0.5), "shape"),
        (lambda reply: reply["layers"][0].update(z=[[0.5]] * 100_000), "shape"),
        (lambda reply: reply.update(input_gradients=0.5), "shape"),
    ],
)
def test_wrong_arrays(edit: Callable[[dict[str, Any]], object], problem: str, tmp_path: Path) -> None:
    """Missing, extra and wrongly shaped arrays are findings of their own; the next case is judged normally."""
    result, next_one = judged(tmp_path, [edited(edit), json.dumps(RIGHT).encode()])
    assert result.outcome == "mismatched"
    assert problem in {finding.problem for finding in result.mismatches}
    assert next_one.outcome == "passed"


NASTY = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "[bold red]markup[/bold red] [/] [link=file:///etc/passwd]x[/link]",
    r"\x1b]0;title\x07\x1b[2J\x1b[31mred\x9b31m",
    r"\u202eevil\u2066\u200b\ufeff\u2028\U000e0041",
    r"\x00\x01\x08\x7f\r\x0b\x0c",
    r"\ud800 \udfff",
    "%s %n {0} $(touch x) `id` ; ' \\\" \\\\",
    "x" * 5000,
]


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_every_text_is_safe(nasty: str) -> None:
    """Whatever is in an error, a skip, an id, a key, on stdout or stderr: no displayed text can act on a terminal."""

    def check(seconds: float) -> None:
        """The reply comes this much later than the text on stderr."""
        answers = converse("every-text", ["c1", "bad", "bad-skip", "c2"], nasty=nasty, seconds=seconds)
        assert [answer.kind for answer in answers.values()] == ["reply", "error", "skip", "reply"]
        for answer in answers.values():
            texts = [answer.message, answer.stderr, *answer.notes]
            for text in texts:
                assert all(char.isprintable() or char in "\n\t " for char in text), ascii(text)
                assert len(text) < 9000
                text.encode("utf-8")
        assert answers["bad"].notes
        assert answers["bad"].stderr

    patiently(check, seconds=0.05)
