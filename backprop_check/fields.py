"""What a field of a case may contain, stated once, in the field's type.

    units: Annotated[int, at_least(1, "neuron")]
    eps: Positive

``check_fields`` checks the values when a case is made, and the protocol's schema contains the same limits. A limit that
depends on other fields (a divisor of the channels, a number per sample) is checked where these are known.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, NoReturn

import msgspec
from msgspec import inspect

from backprop_check.errors import CaseError


class Limit(NamedTuple):
    """Which values are valid, in words and as a test, and how an invalid one is shown."""

    expected: str
    holds: Callable[[Any], bool]
    shown: Callable[[Any], object] = lambda value: list(value) if isinstance(value, tuple) else value


def fail(path: str, expected: str, got: object) -> NoReturn:
    """Raises ``CaseError`` about the value at ``path``."""
    raise CaseError(path, expected, str(got))


def description(text: str) -> msgspec.Meta:
    """The description of a field in the schema."""
    return msgspec.Meta(description=text)


def at_least(least: int, of: str = "") -> msgspec.Meta:
    """A whole number of at least ``least``."""
    expected = f"at least {least} {of}".rstrip()
    return _limited(Limit(expected, lambda x: x >= least), {"minimum": least})


def _numbers(expected: str, holds: Callable[[float], bool], **schema: float) -> msgspec.Meta:
    """A finite number for which ``holds`` (JSON has no other numbers)."""
    return _limited(Limit(expected, lambda x: math.isfinite(x) and holds(x)), schema)


def more_than(least: float) -> msgspec.Meta:
    """A number greater than ``least``."""
    return _numbers(f"a number of more than {least:g}", lambda x: x > least, exclusiveMinimum=least)


def one_of(words: Sequence[str]) -> msgspec.Meta:
    """One of these words."""
    few = len(words) < 4  # noqa: PLR2004 - read at a glance
    expected = " or ".join(words) if few else f"one of {', '.join(words)}"
    return _limited(Limit(expected, frozenset(words).__contains__, repr), {"enum": list(words)})


def items(least: int, most: int | None = None, of: str = "") -> msgspec.Meta:
    """A list with ``least`` to ``most`` items (None: any number)."""
    limits = {"minItems": least} | ({} if most is None else {"maxItems": most})
    of = of or ("entry" if most is None and least == 1 else "entries")
    expected = f"at least {least} {of}" if most is None else f"{least} to {most} {of}"
    fits = Limit(expected.rstrip(), lambda x: least <= len(x) and (most is None or len(x) <= most), len)
    return _limited(fits, limits)


def arrays(
    required: Mapping[str, str],
    optional: Mapping[str, str] | None = None,
    patterns: Mapping[str, str] | None = None,
) -> msgspec.Meta:
    """Arrays by name, each with its indexes: ``{"weight": "[out][in]"}``. The keys of ``patterns`` are regular
    expressions.

    The schema states the depth too, unless the indexes are not all listed (``[out][in]…``). The lengths depend on the
    input of the layer, which checks them.
    """
    schema: dict[str, Any] = {
        "required": list(required),
        "properties": {name: _array(indexes) for name, indexes in {**required, **(optional or {})}.items()},
        "additionalProperties": False,
    }
    if patterns:
        schema["patternProperties"] = {name: _array(indexes) for name, indexes in patterns.items()}
    return msgspec.Meta(extra_json_schema=schema)


def array(indexes: str) -> msgspec.Meta:
    """An array with these indexes: ``[row][number]``."""
    schema = _array(indexes)
    del schema["description"]
    return msgspec.Meta(extra_json_schema=schema)


def _array(indexes: str) -> dict[str, Any]:
    """An array with these indexes."""
    schema: dict[str, Any] = {"$ref": "#/$defs/array"}
    if "…" not in indexes:
        schema = {"type": "number"}
        for _ in re.findall(r"\[", indexes):
            schema = {"type": "array", "items": schema}
    return {"description": indexes, **schema}


def _limited(limit: Limit, schema: dict[str, Any]) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema=schema, extra={"limit": limit})


#: A whole number of at least 1, or of at least 0.
Count = Annotated[int, at_least(1)]
Size = Annotated[int, at_least(0)]

Finite = Annotated[float, _numbers("a finite number", lambda _: True)]
Positive = Annotated[float, _numbers("a number above 0", lambda x: x > 0, exclusiveMinimum=0)]
NotNegative = Annotated[float, _numbers("a number of at least 0", lambda x: x >= 0, minimum=0)]
Share = Annotated[float, _numbers("a number from 0 to 1", lambda x: 0 <= x <= 1, minimum=0, maximum=1)]
Below1 = Annotated[
    float, _numbers("a number of at least 0 and below 1", lambda x: 0 <= x < 1, minimum=0, exclusiveMaximum=1)
]

#: Numbers in nested lists of any depth, as they stand in JSON.
NestedNumbers = Annotated[Any, msgspec.Meta(extra_json_schema={"$ref": "#/$defs/array"})]


def check_fields(path: str, holder: msgspec.Struct) -> None:
    """Raises ``CaseError`` for the first field of ``holder`` with an invalid value; None means that a field is absent.

    ``path`` is the place of ``holder``. Fields of nested structs are not checked.
    """
    for name, key, broken_by in _tests(type(holder)):
        value = getattr(holder, name)
        limit = None if value is None else broken_by(value)
        if limit is not None:
            fail(f"{path}.{key}", limit.expected, limit.shown(value))


#: Returns the limit that a value violates, or None.
_Test = Callable[[Any], Limit | None]


@functools.cache
def _tests(kind: type[msgspec.Struct]) -> list[tuple[str, str, _Test]]:
    """The limited fields of a type: name in Python, name in JSON, and test."""
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    tests = [(field.name, field.encode_name, _test(field.type)) for field in found.fields]
    return [(name, key, test) for name, key, test in tests if test is not None]


def _test(node: inspect.Type) -> _Test | None:
    """The test of a value of this type; None where every value is valid."""
    if isinstance(node, inspect.Metadata):
        return _both((node.extra or {}).get("limit"), _test(node.type))
    if isinstance(node, inspect.UnionType):
        return _either(node.types)
    if isinstance(node, inspect.VarTupleType):
        return _each(_test(node.item_type))
    if isinstance(node, inspect.TupleType):  # of one kind of item in all that a case has
        return _each(_test(node.item_types[0]))
    return None


def _both(limit: Limit | None, inner: _Test | None) -> _Test | None:
    """The test of a limit for the value itself, then of the limits for its items."""
    if limit is None:
        return inner
    return lambda value: limit if not limit.holds(value) else inner and inner(value)


def _either(types: Sequence[inspect.Type]) -> _Test | None:
    """The test for a number or a list of numbers, whichever the value is."""
    scalar = several = None
    for each in types:
        inner = each.type if isinstance(each, inspect.Metadata) else each
        if isinstance(inner, inspect.VarTupleType | inspect.TupleType):
            several = _test(each)
        elif not isinstance(inner, inspect.NoneType):
            scalar = _test(each)
    if scalar is None and several is None:
        return None

    def test(value: Any) -> Limit | None:
        found = several if isinstance(value, tuple) else scalar
        return found and found(value)

    return test


def _each(of_item: _Test | None) -> _Test | None:
    """The test of every item of a list."""
    if of_item is None:
        return None
    return lambda value: next(filter(None, map(of_item, value)), None)
