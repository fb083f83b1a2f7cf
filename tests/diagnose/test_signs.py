"""Bugs that are recognized by the form of the values."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from asking import answered, cases, compared, curved, deep
from tiny import implementation

from backprop_check.compare.trace import Array, Slot
from backprop_check.diagnose import signs
from backprop_check.diagnose.evidence import Evidence


def evidences(count: int = 12, change: Any = None, **options: Any) -> list[Evidence]:
    """Cases with what ``tiny`` replies, each array changed."""
    found = []
    for case in cases()[:count]:
        values = answered(case, **options)
        found.append(Evidence(case, {slot: change(array) if change else array for slot, array in values.items()}))
    return found


def printed(digits: int) -> Any:
    """Every number as ``%.<digits>f`` writes it."""

    def change(array: Array) -> Array:
        return np.asarray(np.vectorize(lambda x: float(f"{x:.{digits}f}"), otypes=[float])(array))

    return change


def cut(digits: int) -> Any:
    """Every number truncated to that many significant digits."""

    def change(array: Array) -> Array:
        def one(x: float) -> float:
            if x == 0:
                return x
            unit = 10.0 ** (np.floor(np.log10(abs(x))) - digits + 1)
            return float(f"{np.trunc(x / unit) * unit:.{digits}g}")

        return np.asarray(np.vectorize(one, otypes=[float])(array))

    return change


@pytest.mark.parametrize("digits", [4, 8, 12])
def test_significant_digits(digits: int) -> None:
    """How many there are, not one more or less."""
    assert signs.digits_printed(evidences(digits=digits)) == f"{digits} significant digits"


@pytest.mark.parametrize("digits", [4, 6, 10])
def test_decimals(digits: int) -> None:
    """``%.6f`` says six decimals."""
    assert signs.digits_printed(evidences(change=printed(digits))) == f"{digits} decimals"


def test_digits_cut_off() -> None:
    """Cut, not rounded: the same name."""
    assert signs.digits_printed(evidences(change=cut(6))) == "6 significant digits"


@pytest.mark.parametrize("mistakes", [(), ("hidden-derivative-missing",)])
def test_no_digits_where_they_are_not_the_cause(mistakes: tuple[str, ...]) -> None:
    """Full precision, right or wrong: no digits are missing."""
    found = [Evidence(case, answered(case, *mistakes)) for case in cases()[:12]]
    assert signs.digits_printed(found) is None


def test_few_digits_do_not_hide_a_bug() -> None:
    """A missing derivative printed with 7 digits is not called a matter of digits."""
    found = [Evidence(case, answered(case, "hidden-derivative-missing", digits=7)) for case in cases()[:12]]
    assert signs.digits_printed(found) is None


def test_single_precision() -> None:
    """float32 passed off as float64 is recognized; float64 is not mistaken for it, nor is a bug in single precision."""
    assert signs.single_precision(evidences(dtype="float32"))
    assert not signs.single_precision(evidences())
    bug = [Evidence(case, answered(case, "hidden-derivative-missing", dtype="float32")) for case in cases()[:12]]
    assert not signs.single_precision(bug)


def test_single_precision_is_no_news_where_it_was_said() -> None:
    """An implementation that declares float32 cannot have that bug."""
    found = [
        Evidence(case.rounded("float32"), answered(case.rounded("float32"), dtype="float32"), "float32")
        for case in cases()[:5]
    ]
    assert not signs.single_precision(found)


@pytest.mark.parametrize(
    ("spoil", "codes"),
    [
        (lambda reply: [layer["gradients"].pop("biases") for layer in reply["layers"]], ["BP114"]),
        (lambda reply: [layer["gradients"].pop("weights") for layer in reply["layers"]], ["BP007"]),
        (lambda reply: reply["layers"][0]["gradients"].update(biases=[1.0] * 9), ["BP006"]),
        (lambda reply: turn(reply["layers"]), ["BP110"]),
        (lambda reply: reply["layers"][0]["z"][0].__setitem__(0, None), ["BP003"]),
        (lambda reply: reply["layers"][0]["z"][0].__setitem__(0, "0.5"), ["BP011"]),
        (lambda reply: reply.update(loss=None), []),
        (lambda reply: None, []),  # noqa: ARG005
    ],
)
def test_form(spoil: Any, codes: list[str]) -> None:
    """Missing, of another shape, transposed, null, a text."""
    case = next(
        each
        for each in cases()
        if len(each.network.layers) > 1
        and each.network.inputs != each.network.layers[0].units
        and each.network.layers[0].units != each.network.layers[1].units
        and each.network.inputs != 1
        and each.network.layers[0].units != 1
    )

    def spoilt(request: Any) -> Any:
        reply = implementation()(request)
        spoil(reply)
        return reply

    assert signs.of_form(compared(case, spoilt).mismatches) == codes


def turn(layers: list[Any]) -> None:
    """Write the weights' gradients with rows and columns swapped."""
    for layer in layers:
        layer["gradients"]["weights"] = np.array(layer["gradients"]["weights"]).T.tolist()


@pytest.mark.parametrize(
    ("slot", "value", "code", "said"),
    [
        (Slot("delta", 0), np.nan, "BP004", "delta"),
        (Slot("delta", 1), np.inf, "BP005", "delta"),
        (Slot("loss"), np.nan, "BP004", "loss"),
        (Slot("z", 0), -np.inf, "BP005", "z"),
    ],
)
def test_not_finite(slot: Slot, value: float, code: str, said: str) -> None:
    """The name depends on where the first such value came from."""
    case = curved()
    values = answered(case)
    changed = values[slot].copy()
    changed[(0,) * changed.ndim] = value
    found = signs.of_values(Evidence(case, {**values, slot: changed}))
    assert found is not None
    assert found[0] == code
    assert said in found[1]
    assert signs.of_values(Evidence(case, values)) is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("OverflowError: math range error", "BP005"),
        ("arithmetic overflow in exp", "BP005"),
        ("Stack Overflow", None),
        ("RangeError: index 2", None),
        ("", None),
    ],
)
def test_errors(message: str, code: str | None) -> None:
    """An overflow that was reported as an error; a stack overflow is not one."""
    assert signs.of_error(message, curved()) == code
    if code:
        softmax = next(case for case in cases() if case.network.layers[-1].activation == "softmax")
        assert signs.of_error(message, softmax) == "BP208"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: 3.0 * x, "each is 3 times what it should be"),
        (lambda x: -x, "each is -1 times what it should be"),
        (lambda x: x + 0.125, "each is off by 0.125"),
        (lambda x: x[:, ::-1], "the right values are there in another order"),
        (lambda x: 0.0 * x, "all of them are 0"),
        (lambda x: np.sign(x) * abs(x) ** 1.5, "all are too small, by no constant factor"),
        (lambda x: x * (2.0 + abs(x)), "all are too large, by no constant factor"),
        (lambda x: x * np.array([[0.5, -2.0], [3.0, 0.1]]), "no constant ratio, sign, offset or order explains them"),
    ],
)
def test_pattern(change: Any, said: str) -> None:
    """Where no name fits: what the wrong values have in common, and which they are."""
    case = curved()
    values = answered(case)
    slot = Slot("weight_gradient", 1)
    changed = {**values, slot: np.ascontiguousarray(change(values[slot]))}
    text = signs.pattern([Evidence(case, changed)])
    assert said in text
    assert "wrong given their own inputs: weight gradient, in the output layer" in text


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: np.array([[x[0, 1], x[0, 0]], [x[1, 0], x[1, 1]]]), id="two swapped"),
        pytest.param(lambda x: np.array([[x[0, 1], x[0, 0]], [x[1, 0], 2 * x[1, 1]]]), id="two swapped, one wrong"),
        pytest.param(lambda x: np.full((2, 2), x[0, 0]), id="one of them everywhere"),
        pytest.param(lambda x: x[:, ::-1] * (1 + 1e-9), id="nearly the others"),
    ],
)
def test_no_other_order_where_that_may_be_chance(change: Any) -> None:
    """Fewer than three moved values, or values that are not the right ones: no other order is reported."""
    case = curved()
    values = answered(case)
    slot = Slot("weight_gradient", 1)
    text = signs.pattern([Evidence(case, {**values, slot: np.ascontiguousarray(change(values[slot]))})])
    assert "another order" not in text


def test_other_order_of_all_that_is_wrong() -> None:
    """One array in another order does not explain another that is wrong in another way."""
    case = curved()
    values = answered(case)
    slot, bias = Slot("weight_gradient", 1), Slot("bias_gradient", 1)
    turned = {**values, slot: values[slot][:, ::-1].copy()}
    assert "are there in another order" in signs.pattern([Evidence(case, turned)])
    assert "another order" not in signs.pattern([Evidence(case, {**turned, bias: values[bias] ** 2})])


def test_signs_that_are_wrong_are_no_other_order() -> None:
    """The δ of two classes are d and −d: with wrong signs they are the same numbers in another order."""
    case = next(each for each in cases() if each.network.layers[-1].activation == "softmax")
    case = msgspec.structs.replace(case, optimizer=None, steps=1)
    values = answered(case)
    slot = Slot("delta", len(case.network.layers) - 1)
    pairs = np.array([[0.25, -0.25], [0.0625, -0.0625], [0.375, -0.375]])
    text = signs._seen((-pairs / pairs).ravel().tolist(), (-2 * pairs).ravel().tolist(), False, True)  # noqa: FBT003, SLF001
    assert text == "each is -1 times what it should be"
    assert "-1 times" in signs.pattern([Evidence(case, {**values, slot: -values[slot]})])


def test_pattern_of_numbers_that_overflow() -> None:
    """The largest floats: a pattern, and no warning from numpy (pytest turns those into errors)."""
    case = curved()
    values = answered(case)
    huge = {
        slot: np.full(array.shape, 1.7e308 if n % 2 else -1.7e308) for n, (slot, array) in enumerate(values.items())
    }
    assert "wrong given their own inputs: z" in signs.pattern([Evidence(case, huge)])


def test_pattern_of_what_is_only_inherited() -> None:
    """No value is wrong given its inputs: the pattern says so."""
    case = deep()
    assert "every value follows from those before it" in signs.pattern([Evidence(case, answered(case))])
