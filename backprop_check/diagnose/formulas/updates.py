"""Edits of the optimizers: an option that is ignored, a factor at another place, an average that begins elsewhere.

As with the rules of layers, an edit is put into whole passes and must give everything that was reported, in every
failing case, and change nothing in those that passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from backprop_check.diagnose.bug import EVERY_QUANTITY, Swapped
from backprop_check.diagnose.cause import another_formula
from backprop_check.diagnose.match import Match, Search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backprop_check.case.network import Case
    from backprop_check.diagnose.cause import Cause, Failure
    from backprop_check.diagnose.effort import Part
    from backprop_check.diagnose.evidence import Evidence, Passing


class Edit(NamedTuple):
    """One way to write an update wrongly: the optimizers concerned, the formulas, and the stages that change."""

    optimizers: tuple[str, ...]
    right: str
    implemented: str
    says: str
    stages: dict[str, Callable[..., Any]]


class EditedUpdate(Swapped):
    """Stages with an edited optimizer."""

    gives: ClassVar[frozenset[str] | None] = EVERY_QUANTITY
    optimizers: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def matters(cls, case: Case) -> bool:
        """Whether the case has such an optimizer."""
        return case.optimizer is not None and case.optimizer.kind in cls.optimizers


_ADAM = ("adam", "adamw")
_ADAPTIVE = ("rmsprop", *_ADAM)
_ALL = ("sgd", "adagrad", *_ADAPTIVE)


def _multiplied_mean(self: Any, mean: Any, square: Any, beta1: Any, beta2: Any) -> Any:
    return (mean * self.correction_of_mean(beta1)) / self.adam_root(square, beta2)


def _multiplied_square(self: Any, square: Any, beta2: Any) -> Any:
    return self.m.sqrt(square) * self.m.sqrt(self.correction_of_square(beta2)) + self.settings["eps"]


def _compounding(self: Any, mean: Any, square: Any, beta1: Any, beta2: Any) -> Any:
    """The corrected step size is stored and corrected again: the corrections of all steps multiply up."""
    means = squares = None
    for step in range(1, self.time + 1):
        one, two = 1 - self.power(beta1, step), 1 - self.power(beta2, step)
        means, squares = (one, two) if means is None else (means * one, squares * two)
    size = self.m.sqrt(squares) / means
    epsilon = self.settings["eps"] * self.m.sqrt(self.correction(beta2))
    return size * mean / (self.m.sqrt(square) + epsilon)


def _velocity(formula: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """v⁺ by ``formula(μ, v, d)``, where v is None in the first step."""

    def velocity(self: Any, d: Any, of: Any) -> Any:
        before = of["velocity"] if "velocity" in of else None  # noqa: SIM401 - it is no dict
        return of.keep("velocity", formula(self.settings["momentum"], before, d))

    return velocity


def _begins_with(*names: str) -> Callable[..., Any]:
    def average(self: Any, name: str, beta: Any, x: Any, of: Any) -> Any:
        del self
        first = x if name in names else None
        before = of[name] if name in of else first  # noqa: SIM401 - it is no dict
        new = (1 - beta) * x
        return of.keep(name, new if before is None else beta * before + new)

    return average


def _without_share(self: Any, name: str, beta: Any, x: Any, of: Any) -> Any:
    del self
    return of.keep(name, beta * of[name] + x if name in of else x)


def _late_decay(self: Any, w: Any, g: Any, of: Any, rate: Any) -> Any:
    """Adagrad's learning rate decays by t, not by t − 1."""
    g = self.decayed(w, g, of)
    before = of["sum"] if "sum" in of else self.settings["initial_accumulator_value"]
    total = of.keep("sum", before + g * g)
    if self.has("lr_decay"):
        rate = self.m.number(rate) / (1 + self.m.number(float(self.time)) * self.settings["lr_decay"])
    return self.updated(w, g / self.root(total), rate)


def _ignoring(option: str) -> dict[str, Callable[..., Any]]:
    def has(self: Any, name: str) -> bool:
        return name != option and bool(self.optimizer.settings[name])

    return {"has": has}


def _decay_with_momentum_only(self: Any, w: Any, g: Any, of: Any) -> Any:
    del of
    decays = self.has("weight_decay") and self.has("momentum")
    return g + self.settings["weight_decay"] * w if decays else g


def _edits() -> list[Edit]:
    """All edits, the simplest first."""
    options = [
        (("sgd", "rmsprop", "adagrad", "adam"), "weight_decay", "d = g + λ w", "d = g"),
        (("adamw",), "weight_decay", "w (1 − η λ)", "w"),
        (("sgd", "rmsprop"), "momentum", "d = v⁺", "d = g"),
        (("sgd",), "nesterov", "d = g + μ v⁺", "d = v⁺"),
        (("rmsprop",), "centered", "v − m²", "v"),
        (("adagrad",), "lr_decay", "η/(1 + (t − 1) lr_decay)", "η"),
        (_ADAM, "amsgrad", "the largest v̂ so far", "v̂"),
    ]
    correct = "m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)"
    momentum, moving = "v⁺ = μ v + (1 − dampening) d", "v⁺ = β v + (1 − β) g²"
    mean, square = {"adam_direction": _multiplied_mean}, {"adam_root": _multiplied_square}
    ignored = [
        Edit(kinds, right, wrong, f"the option {name} is ignored", _ignoring(name))
        for kinds, name, right, wrong in options
    ]
    return [
        *ignored,
        Edit(
            ("sgd",), "d = g + λ w", "d = g + λ w with momentum, else d = g",
            "weight decay is ignored where there is no momentum", {"decayed": _decay_with_momentum_only},
        ),
        Edit(
            ("sgd", "rmsprop"), momentum, "v⁺ = μ v + d", "the option dampening is ignored",
            {"undampened": lambda _self, d: d},
        ),
        Edit(
            ("sgd", "rmsprop"), momentum, "v⁺ = v + μ d", "μ stands at the gradient, not at the velocity",
            {"velocity": _velocity(lambda mu, v, d: mu * d if v is None else v + mu * d)},
        ),
        Edit(
            ("sgd", "rmsprop"), momentum, "v⁺ = μ (v + d)", "the gradient is multiplied by μ as well",
            {"velocity": _velocity(lambda mu, v, d: mu * d if v is None else mu * (v + d))},
        ),
        Edit(
            ("sgd", "rmsprop"), momentum, "v⁺ = μ v + (1 − μ) d", "the velocity is a running average",
            {"velocity": _velocity(lambda mu, v, d: (1 - mu) * d if v is None else mu * v + (1 - mu) * d)},
        ),
        Edit(
            ("sgd", "rmsprop"), momentum, "v⁺ = v + d", "the velocity never decays: μ is missing",
            {"velocity": _velocity(lambda _mu, v, d: d if v is None else v + d)},
        ),
        Edit(_ADAM, correct, "m̂ = m (1 − β₁ᵗ), v̂ = v (1 − β₂ᵗ)", "the corrections are multiplied, not divided",
             mean | square),
        Edit(_ADAM, correct, "m̂ = m (1 − β₁ᵗ)", "the correction of m is multiplied, not divided", mean),
        Edit(_ADAM, correct, "v̂ = v (1 − β₂ᵗ)", "the correction of v is multiplied, not divided", square),
        Edit(
            _ADAM, "η √(1 − β₂ᵗ)/(1 − β₁ᵗ)", "η Πₛ √(1 − β₂ˢ)/(1 − β₁ˢ)",
            "the corrections of all steps so far are multiplied together", {"adam_direction": _compounding},
        ),
        Edit(
            _ADAPTIVE, f"{moving}, from v = 0", f"{moving}, from v = g²", "the average of g² begins at g²",
            {"average": _begins_with("square")},
        ),
        Edit(
            _ADAPTIVE, "m⁺ = β m + (1 − β) g, from m = 0", "m⁺ = β m + (1 − β) g, from m = g",
            "the average of g begins at g", {"average": _begins_with("mean")},
        ),
        Edit(
            _ADAPTIVE, "averages from 0", "averages from the first g and g²",
            "both averages begin at their first number",
            {"average": _begins_with("mean", "square")},
        ),
        Edit(_ADAPTIVE, "β v + (1 − β) x", "β v + x", "1 − β is missing in the averages", {"average": _without_share}),
        Edit(
            ("adagrad",), "η/(1 + (t − 1) lr_decay)", "η/(1 + t lr_decay)", "lr_decay counts one step too many",
            {"adagrad": _late_decay},
        ),
    ]  # fmt: skip


def edited_update(pairs: Sequence[tuple[Failure, Evidence]], passing: Passing, effort: Part) -> Cause | None:
    """The cause of failures that one edit of an optimizer explains, all of them; None where there is none."""
    search = Search([evidence for _, evidence in pairs], passing, effort)
    probe = next(iter(search.probes()), None)
    if probe is None or probe.case.optimizer is None:
        return None
    effort.tell("looking for a changed formula of the optimizer")
    failing = {failure.case.optimizer.kind for failure, _ in pairs if failure.case.optimizer is not None}
    found = []
    for edit in _edits():
        if effort.spent:
            break
        concerned = tuple(kind for kind in edit.optimizers if kind in failing)  # each may have code of its own
        stages = type("EditedUpdate", (EditedUpdate,), {**edit.stages, "optimizers": concerned})
        if probe.reproduced_by(stages) and search.holds(Match(stages, ())):
            found.append(edit)
    return _told(found, [failure for failure, _ in pairs]) if found else None


def _told(found: Sequence[Edit], failures: Sequence[Failure]) -> Cause:
    edit = found[0]
    kinds = sorted({each.case.optimizer.kind for each in failures if each.case.optimizer is not None})
    also = [other.implemented for other in found[1:]]
    whose, scope = "The updated parameters", f"with the optimizer {' and '.join(kinds)} only"
    return another_formula(whose, [edit.right], [edit.implemented], edit.says, failures, scope=scope, also=also)
