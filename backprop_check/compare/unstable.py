"""The verdict *unstable*: the formula is right mathematics, but rounding, overflow or underflow ruins its result.

A formula can be right on paper and useless where a number saturates: the logarithm of a softmax that
underflowed, e^z/(1 + e^z) at z = 800, 0 · ∞. For each habit below (a common way to write such a formula), the case is
worked out in the implementation's own dtype, with bounds. A wrong value that a habit gives is unstable; all others stay
wrong. A habit gives a value v

- that is NaN or infinite, if the habit's own value or bound is not finite;
- that is finite, if its bound is finite and v is within it;
- that is finite, if its bound is not finite (1 − p has lost all its digits) and v is within a factor of two.

An unstable value fails its case all the same, since it is useless for training. But the message says which formula to
replace, and by what, instead of looking for a bug that is not there.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backprop_check.compare.trace import Alternative, Array, Form, Mask, Slot, slots_of
from backprop_check.functions.losses import MATCHED
from backprop_check.numbers import SMALLEST_NORMAL, UNIT_ROUNDOFF
from backprop_check.numbers.lanes import KAPPA, TEXTBOOK, Lanes
from backprop_check.reference import Stages, run_pass
from backprop_check.reference.rules import Function, Softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from backprop_check.case.network import Case


class Habits(NamedTuple):
    """The ways in which an implementation writes exponentials, softmax, and the logarithms of the loss."""

    exponentials: str = "stable"
    softmax: str = "shifted"
    loss: str = "fused"


#: If every |z|, and every difference of two z of a layer, is at most this, no habit loses more digits than the bounds
#: admit, and no alternative is computed.
NEAR = 7.0

#: The same limit for a softplus written as z + ln(1 + e^−z): the logarithm is about |z| and has an error of up to
#: κu|z|, while the bounds admit ``TEXTBOOK`` u.
NEAR_OF_SOFTPLUS = TEXTBOOK / KAPPA

#: A description of each unstable habit, and what to write instead.
SAID = {
    "growing": "an exponential e^z that overflows for a large z, as in e^z/(1 + e^z), (e^2z − 1)/(e^2z + 1) or "
    "ln(1 + e^z) (write them with e^(−|z|), or use the library's tanh, expm1 and log1p)",
    "falling": "an exponential e^−z that overflows for a very negative z, as in (1 − e^−2z)/(1 + e^−2z) or "
    "z + ln(1 + e^−z) (use the library's tanh, and max(z, 0) + ln(1 + e^(−|z|)))",
    "both": "e^z and e^−z in one quotient, as in (e^z − e^−z)/(e^z + e^−z), of which one overflows (use the "
    "library's tanh)",
    "slope": "a derivative with a square that overflows, as in e^−z/(1 + e^−z)² (write a(1 − a); 1 − a² for tanh)",
    "unshifted": "a softmax without its shift, e^z/Σe^z, which overflows (subtract the layer's largest z first)",
    "divided": "log-softmax's backward pass written as that of softmax, which divides by a probability that has "
    "underflowed to 0 (write δ = g − p Σg, with g = ∂L/∂a)",
    "guarded": "a logarithm, and a division, of a probability that has been rounded to 0 or 1 (compute the loss from "
    "z with log-sum-exp, and δ as p − t)",
    "unguarded": "0 · ln 0 or 0/0, where a probability has been rounded to 0 or 1 (compute the loss from z with "
    "log-sum-exp, and δ as p − t)",
}

#: The description where each such habit would also have changed activations that are right.
SOMEWHERE = "an exponential that overflows, or a division by a number that has underflowed to 0"

_RAISED = re.compile(
    r"(?<!stack)(?<!stack )overflow|math (range|domain) error|zero ?division|(division|divide) by zero", re.IGNORECASE
)

_WITH_EXPONENTIALS = {"sigmoid", "tanh", "softplus", "silu", "elu"}


def _sigmoid(m: Any, z: Any, how: str) -> Any:
    if how == "growing":
        return m.exp(z) / (1 + m.exp(z))
    return 1 / (1 + m.exp(-z))


def _tanh(m: Any, z: Any, how: str) -> Any:
    if how == "growing":
        return (m.exp(z + z) - 1) / (m.exp(z + z) + 1)
    if how == "falling":
        return (1 - m.exp(-(z + z))) / (1 + m.exp(-(z + z)))
    return (m.exp(z) - m.exp(-z)) / (m.exp(z) + m.exp(-z))


def _elu(m: Any, z: Any, alpha: float) -> Any:
    """Both branches, chosen by multiplying with 0 or 1: 0 · ∞."""
    return m.where_positive(z, 1.0, 0.0) * z + m.where_positive(z, 0.0, 1.0) * (alpha * (m.exp(z) - 1))


class _Habitual(Stages):
    """The right mathematics, written in the ways of ``habits``."""

    habits = Habits()

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if rule.out.role == "a":
            found = None
            if isinstance(rule, Softmax) and rule.keep is None:
                found = self._softmax(rule, s, o)
            elif isinstance(rule, Function):
                found = self._function(rule, rule.x.values[s, o])
            if found is not None:
                return found
        return super().value(rule, s, o)

    def _softmax(self, rule: Softmax, s: Any, o: Any) -> Any:
        m, z, group = self.m, rule.x.values[s, o], rule.x.values[s, rule.groups[o]]
        if self.habits.softmax == "unshifted":
            total = m.total(m.vector(m.exp, group))
            return z - m.log(total) if rule.logarithm else m.exp(z) / total
        if rule.logarithm and self.habits.loss != "fused":
            top = m.top(group)
            return m.log(m.exp(z - top) / m.total(m.vector(lambda x, top: m.exp(x - top), group, top)))
        return None

    def _function(self, rule: Function, z: Any) -> Any:
        m, how = self.m, self.habits.exponentials
        match rule.name:
            case "sigmoid" if how == "growing":
                return _sigmoid(m, z, how)
            case "silu" if how == "growing":
                return z * _sigmoid(m, z, how)
            case "tanh" if how != "stable":
                return _tanh(m, z, how)
            case "softplus" if how in ("growing", "both"):
                return m.log(1 + m.exp(z))
            case "softplus" if how in ("falling", "slope"):
                return z + m.log(1 + m.exp(-z))
            case "elu" if how in ("growing", "both"):
                return _elu(m, z, rule.alpha)
        return None

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        m = self.m
        if isinstance(rule, Function) and rule.out.role == "a":
            slope = self._slope(rule, rule.x.values[s, i])
            if slope is not None:
                return m.one(rule.out.error[s, i]), m.one(slope)
        if isinstance(rule, Softmax) and rule.logarithm and self.habits.softmax == "divided":
            a, g, group = rule.out.values, rule.out.error, rule.groups[i]
            back = m.vector(lambda g, a: g / m.exp(a) * m.exp(a), g[s, group], a[s, group])
            p = m.exp(a[s, i])
            return m.one(p * (g[s, i] / p - m.total(back))), None
        return super().share(rule, role, s, i)

    def _slope(self, rule: Function, z: Any) -> Any:
        m, how = self.m, self.habits.exponentials
        match rule.name:
            case "softplus" if how == "growing":
                return _sigmoid(m, z, how)
            case "silu" if how == "growing":
                p = _sigmoid(m, z, how)
                return p + z * (p * (1 - p))
            case "sigmoid" if how == "slope":
                e = m.exp(-z)
                return e / ((1 + e) * (1 + e))
            case "tanh" if how == "slope":
                e = m.exp(z) + m.exp(-z)
                return 4 / (e * e)
        return None

    def _guarded(self, factor: Any, value: Any) -> Any:
        """``value``, but 0 where its factor is 0 (except with the habit "unguarded")."""
        if self.habits.loss == "guarded":
            zero = factor.value == 0
            value.value, value.error = np.where(zero, 0.0, value.value), np.where(zero, 0.0, value.error)
        return value

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        m, last, t = self.m, p.layers[-1], p.targets[s, k]
        if self.habits.loss == "fused" or (last.activation, p.loss_kind) not in MATCHED:
            return super().loss_term(p, s, k)
        term = self._guarded(t, t * m.log(last.a[s, k]))
        if p.loss_kind == "binary_cross_entropy":
            term = term + self._guarded(1 - t, (1 - t) * m.log(1 - last.a[s, k]))
        return -term

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        if self.habits.loss == "fused" or (p.layers[-1].activation, p.loss_kind) not in MATCHED:
            return super().output_error(p, s, k)
        a, t = p.layers[-1].a[s, k], p.targets[s, k]
        slope = -self._guarded(t, t / a)
        if p.loss_kind == "binary_cross_entropy":
            slope = slope + self._guarded(1 - t, (1 - t) / (1 - a))
        return self.in_batch(p, slope)

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        return super().matched_error(p, rule, s, i, composed) if self.habits.loss == "fused" else composed()


def alternatives(case: Case, dtype: str, profile: str, right: Mapping[Slot, Array]) -> Iterator[Alternative]:
    """The results of each combination of habits that matters for ``case``, common ones first.

    ``right`` are the expected values, by slot.
    """
    sizes = [values for slot, values in right.items() if slot.quantity == "z" and values.size]
    softplus = any(layer.activation == "softplus" for layer in case.network.layers)
    with np.errstate(over="ignore"):  # the largest numbers on both sides of 0: far enough apart
        widest = max((max(z.max(), 0.0) - min(z.min(), 0.0) for z in sizes), default=0.0)
    if widest <= (NEAR_OF_SOFTPLUS if softplus else NEAR):
        return
    u, floor = UNIT_ROUNDOFF[dtype], 1024.0 * SMALLEST_NORMAL[dtype]
    reading = Lanes(u, profile, np.float64 if dtype == "float64" else np.float32)
    form = Form(case)
    for habits in _habits(case):
        stages = type("Habit", (_Habitual,), {"habits": habits})
        found = {}
        with np.errstate(all="ignore"):  # overflow is what we look for
            for slot, number in slots_of(run_pass(case, reading, stages)):
                some: Any = number
                value = some.value.reshape(form.trace_shape(slot))
                error = np.broadcast_to(some.error, some.value.shape).reshape(value.shape)
                # Twice: once for the implementation's rounding, once for the rounding of this evaluation.
                found[slot] = (value.astype(np.float64), 2.0 * error.astype(np.float64) + floor)
        yield Alternative("; ".join(SAID[habit] for habit in habits if habit in SAID), found)


def admits(alternative: Alternative, slot: Slot, got: Array) -> Mask:
    """A mask of the values in ``got`` that the alternative's formula gives, by the rules in the module's docstring."""
    value, bound = alternative.values[slot]
    finite, bounded = np.isfinite(value), np.isfinite(bound)
    with np.errstate(invalid="ignore", over="ignore"):
        near = abs(got - value) <= np.where(bounded, bound, abs(value) / 2)
    return np.where(np.isfinite(got), finite & near, ~(finite & bounded))


def most_telling(
    every: Iterable[Alternative], suspects: Mapping[Slot, tuple[Mask, Array]], right: Mapping[Slot, tuple[Array, Array]]
) -> tuple[str | None, dict[Slot, Mask]]:
    """The formula of the alternative that gives the most of the suspect values, and masks of these values by slot.

    ``suspects`` is (mask of the values that differ, the reply's values) by slot; ``right`` is (the reply's values,
    bound) by slot for the values that do not differ. An implementation has one set of habits, so all marked values come
    from a single alternative. If that alternative would also give a wrong activation where the reply has a right one,
    the values are marked, but the formula is ``SOMEWHERE``. (None, {}) if no alternative explains anything.
    """
    best, formula, found = (0, False), None, {}
    total = sum(int(mask.sum()) for mask, _ in suspects.values())
    for alternative in every:
        admitted = {slot: mask & admits(alternative, slot, got) for slot, (mask, got) in suspects.items()}
        count = sum(int(mask.sum()) for mask in admitted.values())
        if count == 0 or (count < best[0] and best[1]):
            continue
        possible = not _contradicted(alternative, suspects, right)
        if (possible, count) > (best[1], best[0]):
            best, found = (count, possible), admitted
            formula = alternative.formula if possible else SOMEWHERE
        if best == (total, True):
            break
    return formula, found


def _contradicted(
    alternative: Alternative, suspects: Mapping[Slot, tuple[Mask, Array]], right: Mapping[Slot, tuple[Array, Array]]
) -> bool:
    """Whether the alternative gives a wrong activation where the reply has a right one."""
    for slot, (got, allowed) in right.items():
        if slot.quantity != "a":
            continue
        value, bound = alternative.values[slot]
        with np.errstate(invalid="ignore", over="ignore"):
            apart = ~np.isfinite(value) | (np.isfinite(bound) & ~(abs(got - value) <= bound + allowed))
        if slot in suspects:
            apart = apart & ~suspects[slot][0]
        if (apart & np.isfinite(got)).any():
            return True
    return False


def unstable_sentence(formula: str) -> str:
    """The verdict as a sentence: what it means, and which formula causes it."""
    return (
        "right mathematics, numerically unstable: on paper the formula is right, but here its numbers overflow, "
        f"underflow or lose all their digits. One possible cause is {formula}"
    )


def raised_sentence(error: str) -> str | None:
    """The verdict for an error message of overflow or division by 0 (Python's ``math.exp(800)`` raises); else None."""
    if _RAISED.search(error) is None:
        return None
    return (
        "the mathematics may be right but numerically unstable: some languages raise this error for an overflow, the "
        "logarithm of 0, or a division by 0. Check whether an e^z can overflow here (in a softmax, subtract the "
        "largest z first; write a sigmoid with e^(−|z|)), and compute cross-entropies from z, with log-sum-exp"
    )


def _habits(case: Case) -> list[Habits]:
    """Every combination of habits that can make a difference for the case, except the stable one."""
    kinds = {layer.activation for layer in case.network.layers}
    last = case.network.layers[-1].activation
    losses = ["fused"]
    if (last, case.loss.kind) in MATCHED:
        losses += ["guarded", "unguarded"]
    elif last == "log_softmax":
        losses += ["guarded"]
    softmaxes = ["shifted"]
    if kinds & {"softmax", "log_softmax"}:
        softmaxes += ["unshifted"]
    if "log_softmax" in kinds:
        softmaxes += ["divided"]
    exponentials = ["stable"]
    if kinds & _WITH_EXPONENTIALS:
        exponentials += ["growing", "falling", "both", "slope"]
    every = itertools.product(exponentials, softmaxes, losses)
    return sorted((Habits(*each) for each in every if each != Habits()), key=lambda habits: sum(map(_odd, habits)))


def _odd(habit: str) -> bool:
    return habit in SAID


__all__ = [
    "SAID",
    "SOMEWHERE",
    "Habits",
    "admits",
    "alternatives",
    "most_telling",
    "raised_sentence",
    "unstable_sentence",
]
