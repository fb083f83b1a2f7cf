"""The rules of the bounds, one by one: they hold, and are no wider than the rule says."""

from __future__ import annotations

import functools
import itertools
import math
import os
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backprop_check.cases.generate import generated_cases
from backprop_check.compare.expected import disagreement, expect
from backprop_check.compare.trace import Expected, Slot, Trace
from backprop_check.kinds.wiring import every
from backprop_check.numbers import UNIT_ROUNDOFF, Lane, Lanes

#: No deadline: how long an example takes depends on the machine.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

U = UNIT_ROUNDOFF
TYPES: dict[str, Any] = {"float64": np.float64, "float32": np.float32}

each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])
moderate = st.floats(-20, 20, allow_nan=False)


def lane(value: Any, error: Any, u: float) -> Lane:
    return Lane(np.atleast_1d(np.asarray(value, dtype=float)), error, u)


def summed(m: Lanes, xs: list[float], ys: list[float], bias: float) -> Lane:
    """Σ x·y + bias, of one neuron and one sample."""
    wiring = every(1, len(xs))
    x, w, b = m.given_grid([xs]), m.given_row(ys), m.given_row([bias])
    return m.dots([(x[0, wiring.reads], w[0, wiring.uses])], [b[0, 0]])


FUNCTIONS: dict[str, tuple[Any, Any, Any]] = {
    "exp": (mpmath.exp, np.exp, lambda x: x),
    "log": (mpmath.log, np.log, lambda x: abs(x) + 0.01),
    "log1p": (mpmath.log1p, np.log1p, abs),
    "expm1": (mpmath.expm1, np.expm1, lambda x: -abs(x)),
    "tanh": (mpmath.tanh, np.tanh, lambda x: x),
    "sqrt": (mpmath.sqrt, np.sqrt, lambda x: abs(x) + 0.01),
    "erf": (mpmath.erf, lambda x: x.dtype.type(math.erf(float(x))), lambda x: x / 4),
}


@pytest.mark.skipif(
    int(os.environ.get("BACKPROP_CHECK_ULPS") or 0) > 1,
    reason="the reference's own library is moved, as far as the bounds allow those of others to be off",
)
@pytest.mark.parametrize("name", list(FUNCTIONS))
@each_dtype
@patient
@given(x=moderate, share=st.floats(-1, 1), size=st.floats(1, 1e4))
def test_functions(name: str, dtype: str, x: float, share: float, size: float) -> None:
    """f of a number that is off by up to its bound, computed in the dtype, is within the bound of f's value."""
    exact, computed, domain = FUNCTIONS[name]
    u, real = U[dtype], TYPES[dtype]
    x = float(real(domain(x)))
    error = size * u * max(abs(x), 0.01)
    got = computed(real(x + share * error))
    # That number itself was rounded to the dtype: no farther than u.
    result = getattr(Lanes(u, "strict"), name)(lane(x, np.array([error + u * (abs(x) + error)]), u))
    with mpmath.workdps(40):
        off = abs(mpmath.mpf(float(got)) - exact(mpmath.mpf(x)))
    # The bound is first order: 1 per cent more for second-order terms of an error this large.
    assert off <= result.error[0] * 1.01 + 1e-300


@each_dtype
@patient
@given(x=moderate, y=moderate, share=st.floats(-1, 1), other=st.floats(-1, 1))
def test_arithmetic(dtype: str, x: float, y: float, share: float, other: float) -> None:
    """+ − × ÷ of two inexact numbers: within the bound."""
    u, real = U[dtype], TYPES[dtype]
    x, y = float(real(x)), float(real(y))
    y = y if abs(y) > 0.1 else 0.5
    ex, ey = 50 * u * max(abs(x), 1), 50 * u * max(abs(y), 1)
    a, b = real(x + share * ex), real(y + other * ey)
    left, right = (lane(v, np.array([e + u * (abs(v) + e)]), u) for v, e in ((x, ex), (y, ey)))
    for got, rule, exact in (
        (a + b, left + right, mpmath.mpf(x) + y),
        (a - b, left - right, mpmath.mpf(x) - y),
        (a * b, left * right, mpmath.mpf(x) * y),
        (a / b, left / right, mpmath.mpf(x) / y),
    ):
        assert abs(mpmath.mpf(float(got)) - exact) <= rule.error[0] * 1.01


@each_dtype
@patient
@given(x=st.floats(0, 1e-3), e=st.floats(0, 1e-3), share=st.floats(-1, 1))
def test_root_near_zero(dtype: str, x: float, e: float, share: float) -> None:
    """√ of a number that may be as close to 0 as its error: within the bound, which is finite; √0 is exactly 0."""
    u, real = U[dtype], TYPES[dtype]
    near = max(x + share * e, 0.0)
    result = Lanes(u).sqrt(lane(x, np.array([e + u * (x + e)]), u))
    assert abs(float(np.sqrt(real(near))) - math.sqrt(x)) <= result.error[0] * 1.01 + 1e-22
    assert np.isfinite(result.error).all()
    exact = Lanes(u).sqrt(Lane(np.zeros(1), np.zeros(1), u))
    assert (exact.value[0], exact.error[0]) == (0.0, 0.0)


def test_a_mean_may_be_taken_by_reciprocals() -> None:
    """d/K/N, d/(KN), d · 1/K · 1/N and others, for every width and batch: within the bound of d/K/N."""
    m, real, worst = Lanes(U["float32"]), np.float32, 0.0
    for d, k, n in itertools.product(map(real, (1.0, 0.8, 1.5, 0.7)), map(real, range(1, 11)), map(real, range(1, 65))):
        rule = lane(d, np.array([0.0]), m.u) / float(k) / float(n)
        exact, one = float(d) / float(k) / float(n), real(1)
        for got in (d / k / n, d / (k * n), d / k * (one / n), d * (one / k) * (one / n), d * (one / n) / k):
            share = abs(float(got) - exact) / (rule.error[0] + 2.0**-52 * exact)
            assert share <= 1, (d, k, n)
            worst = max(worst, share)
    assert worst > 0.5  # and no wider than necessary


@each_dtype
@patient
@given(st.lists(st.tuples(moderate, moderate), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_dot_in_any_order(dtype: str, pairs: list[tuple[float, float]], random: Any) -> None:
    """Whatever the order of the sum, and with the bias first or last."""
    u, real = U[dtype], TYPES[dtype]
    pairs = [(float(real(x)), float(real(y))) for x, y in pairs]
    bias = float(real(0.3))
    m = Lanes(u)
    rule = summed(m, [x for x, _ in pairs], [y for _, y in pairs], bias)
    with mpmath.workdps(40):
        exact = mpmath.fsum(mpmath.mpf(x) * y for x, y in pairs) + bias
    for _ in range(3):
        random.shuffle(pairs)
        total = real(bias)
        for x, y in pairs:
            total = total + real(x) * real(y)
        assert abs(mpmath.mpf(float(total)) - exact) <= np.broadcast_to(rule.error, (1, 1))[0, 0]


def test_exact_sums_have_no_bound_and_others_do() -> None:
    """½ · 1 − ½ is 0 in any arithmetic; 0.1 · 3 − 0.3 is not."""
    m = Lanes(U["float64"])
    exact = summed(m, [0.5], [1.0], -0.5)
    assert exact.value[0, 0] == 0
    assert exact.error == 0.0
    rounded = summed(m, [0.1], [3.0], -0.3)
    assert rounded.error[0, 0] > 0
    # 2¹² · 2¹² + 2⁻⁵ needs 30 digits: exact in float64, not in float32.
    for dtype, is_exact in (("float64", True), ("float32", False)):
        m = Lanes(U[dtype])
        large = summed(m, [4096.0], [4096.0], 2**-5)
        assert (np.max(large.error) == 0) == is_exact


def test_a_branch_that_rounding_may_take_covers_both() -> None:
    """z = 10⁻²⁰ ± 10⁻¹⁵ may be on either side of 0; z = 0 exactly is not: there the convention decides."""
    m = Lanes(U["float64"])
    unsure = m.where_positive(lane(1e-20, np.array([1e-15]), m.u), 1.0, 0.0)
    assert unsure.value[0] == 1
    assert unsure.error[0] >= 1
    exact = m.where_positive(lane(0.0, 0.0, m.u), 1.0, 0.0)
    assert exact.value[0] == 0
    assert exact.error == 0.0


def test_a_second_formula_is_admitted_only_where_it_is_sound() -> None:
    """Its bound covers both where it is numerically sound; elsewhere it changes nothing."""
    m = Lanes(U["float64"])
    fused = lane(1.0, np.array([1e-16]), m.u)
    assert m.either(fused, lambda: lane(1.0 + 1e-12, np.array([1e-12]), m.u)).error[0] == pytest.approx(2e-12)
    for value, error in ((2.0, 1e-16), (math.inf, 1.0), (math.nan, 1.0), (1.0, math.inf)):
        assert m.either(fused, functools.partial(lane, value, np.array([error]), m.u)).error[0] == 1e-16


def test_bounds_are_sharp() -> None:
    """In float64 the median bound on a weight's gradient is far below 1e-9 of its value; strict is tighter still."""
    medians = {}
    for profile in ("textbook", "strict"):
        shares: list[float] = []
        for case in generated_cases(100):
            expected = expect(case, profile=profile)
            for slot, values in expected.values.items():
                if slot.quantity == "weight_gradient":
                    with np.errstate(divide="ignore"):
                        shares += (expected.allowed[slot] / abs(values)).ravel().tolist()
        medians[profile] = float(np.median(shares))
    assert medians["strict"] < medians["textbook"] < 1e-12


def test_float32_bounds_are_float64_bounds_times_the_ratio_of_roundoffs() -> None:
    """First order: 2²⁹ times as wide, plus the reference's own 2⁻⁵³."""
    for case in generated_cases(20):
        wide, narrow = expect(case, "float32"), expect(case)
        for slot, allowed in narrow.allowed.items():
            if slot.quantity in ("z", "a"):
                ratio = wide.allowed[slot] / allowed / 2.0**28  # two formulas differ by a rounding of float64 itself
                exact = wide.allowed[slot] < 1e-30  # such as a dead ReLU's 0
                assert (exact | (ratio > 0.7) & (ratio < 1.01)).all(), (case.id, slot)


def test_nan_and_infinity_never_agree() -> None:
    """``err <= bound`` decides, so that NaN fails."""
    slot = Slot("z", 0)
    expected = Expected({slot: np.array([[1.0, 2.0]])}, {slot: np.array([[0.1, 0.1]])})
    assert disagreement(expected, Trace({slot: np.array([[1.05, 2.0]])})) is None
    for bad in (math.nan, math.inf, -math.inf, 2.11):
        assert disagreement(expected, Trace({slot: np.array([[1.0, bad]])})) == (slot, (0, 1))
    assert disagreement(expected, Trace({slot: np.array([[1.05, 2.0]])}), 0.25) == (slot, (0, 0))
