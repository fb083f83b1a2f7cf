"""BP5xx: the update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, report, variant, variants
from backprop_check.kinds.kind import quantity_of
from backprop_check.reference.passes import begin, step_is_last, through

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case
    from backprop_check.reference.passes import LayerPass, Named, Pass


class OfUpdate(Swapped):
    """The base of mistakes in the update, which not every case asks for."""

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.optimizer is not None


class GradientAscent(OfUpdate):
    """w + ηg in place of w − ηg."""

    def updated(self, parameter: Any, gradient: Any, learning_rate: float) -> Any:
        return parameter + self.m.number(learning_rate) * gradient


class LearningRateMissing(OfUpdate):
    """w − g in place of w − ηg."""

    def updated(self, parameter: Any, gradient: Any, learning_rate: float) -> Any:  # noqa: ARG002 - that is the mistake
        return parameter - gradient


class LearningRateTwice(OfUpdate):
    """w − η²g in place of w − ηg."""

    def updated(self, parameter: Any, gradient: Any, learning_rate: float) -> Any:
        return parameter - self.m.number(learning_rate) * (self.m.number(learning_rate) * gradient)


class BiasesNeverUpdated(OfUpdate):
    """b⁺ = b."""

    def updated_number(self, l: LayerPass, name: str, i: Any, learning_rate: float) -> Any:
        if "bias" not in name:
            return super().updated_number(l, name, i, learning_rate)
        return 1 * l.parameters[name].values[0, i]


class GradientTakenAfterUpdate(OfUpdate):
    """The reported gradients are those at w⁺; ``everything``: all values are; ``at_the_end``: at the last w⁺."""

    everything: ClassVar[bool] = False
    at_the_end: ClassVar[bool] = False

    def whole_pass(
        self, right: Callable[..., Pass], case: Case, parameters: list[Named], buffers: list[Named], step: int
    ) -> Pass:
        if case.optimizer is None:
            done: Pass = super().whole_pass(right, case, parameters, buffers, step)
            return done
        with self.m.unseen():  # the update uses the right gradients, not the reported ones
            p: Pass = super().whole_pass(right, case, parameters, buffers, step)
        late, others = self.__reported(p)
        report(p, self.m, last=step_is_last(p), unless=late if step == 0 else ())
        if step_is_last(p) if self.at_the_end else step == 0:
            report(self.__again(p, buffers), self.m, last=False, unless=others)
        return p

    def __again(self, p: Pass, buffers: list[Named]) -> Pass:
        """The pass after the update, in place of the first."""
        again = begin(p.case, self.m, self, 0)
        now = [{**old, **l.buffers} for old, l in zip(buffers, p.layers, strict=True)]
        with self.m.unseen():
            through(again, p.updated or [], now, self.m, self)
        return again

    def __reported(self, p: Pass) -> tuple[set[str], set[str]]:
        """The quantities of a first pass: those that are reported too late, and the others."""
        late = {f"{quantity_of(name)}_gradient" for l in p.layers for name in l.parameters}
        rest = {"z", "a", "delta", "loss", "input_gradient"}
        buffers = {f"{name}_buffer" for l in p.layers for name in l.buffers}
        return (late | rest, buffers) if self.everything else (late, rest | buffers)


class UpdateOnOneLayerOnly(OfUpdate):
    """Only the first (or the last) layer is updated."""

    __first: ClassVar[bool] = True

    def before_update(self, p: Any) -> None:
        learning = [l.index for l in p.layers if l.gradients]
        self.__only = learning[0 if self.__first else -1] if learning else None
        super().before_update(p)

    def __here(self, l: LayerPass) -> bool:
        return l.index == self.__only

    def updated_number(self, l: LayerPass, name: str, i: Any, learning_rate: float) -> Any:
        here = self.__here(l)
        return super().updated_number(l, name, i, learning_rate) if here else 1 * l.parameters[name].values[0, i]

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.optimizer is not None and len(case.network.layers) > 1


class NeverUpdated(OfUpdate):
    """w⁺ = w."""

    def moves(self) -> bool:
        """Whether this step updates anything."""
        return False

    def updated_number(self, l: LayerPass, name: str, i: Any, learning_rate: float) -> Any:
        moves = self.moves()
        return super().updated_number(l, name, i, learning_rate) if moves else 1 * l.parameters[name].values[0, i]


class StepsIgnored(NeverUpdated):
    """One step, however many are asked for: nothing changes after the first."""

    def before_update(self, p: Any) -> None:
        self.__step = p.step
        super().before_update(p)

    def moves(self) -> bool:
        return bool(self.__step == 0)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.optimizer is not None and case.steps > 1


BUGS = (
    Bug(
        "BP501",
        "gradient-ascent",
        "The update goes up the slope: the gradient is added.",
        right="w⁺ = w − η ∂L/∂w",
        wrong="w⁺ = w + η ∂L/∂w",
        stays_right="every gradient",
        fix="subtract: the gradient points to where the loss grows",
        example="w += rate * grad  # BP501\nw -= rate * grad  # right\n",
        confused_with=("BP118",),
        variants=variants(GradientAscent),
    ),
    Bug(
        "BP502",
        "learning-rate-missing",
        "The update forgets the learning rate.",
        right="w⁺ = w − η ∂L/∂w",
        wrong="w⁺ = w − ∂L/∂w",
        stays_right="every gradient",
        fix="multiply the gradient by the learning rate",
        example="w -= grad         # BP502\nw -= rate * grad  # right\n",
        confused_with=("BP503",),
        variants=variants(LearningRateMissing),
    ),
    Bug(
        "BP503",
        "learning-rate-applied-twice",
        "The learning rate is multiplied in twice.",
        right="w⁺ = w − η ∂L/∂w",
        wrong="w⁺ = w − η² ∂L/∂w",
        stays_right="every gradient",
        fix="keep gradients free of the learning rate; multiply once, in the update",
        example="grad = rate * delta * a; w -= rate * grad  # BP503\ngrad = delta * a; w -= rate * grad         # right\n",
        confused_with=("BP502",),
        variants=variants(LearningRateTwice),
    ),
    Bug(
        "BP504",
        "biases-never-updated",
        "The biases keep their values: only weights are updated.",
        right="b⁺ = b − η ∂L/∂b",
        wrong="b⁺ = b",
        stays_right="every gradient and the updated weights",
        fix="update the biases as well",
        example="for i in inputs: w[j][i] -= rate * grad_w[j][i]\nb[j] -= rate * grad_b[j]  # BP504: this line was missing\n",
        confused_with=("BP114",),
        variants=variants(BiasesNeverUpdated),
    ),
    Bug(
        "BP505",
        "gradient-taken-after-update",
        "The gradients reported are those at the updated parameters.",
        right="∂L/∂w at w",
        wrong="∂L/∂w at w⁺",
        stays_right="passes without an update",
        fix="report (copy) the gradients before the update",
        example="update(); report(backward())      # BP505\ngrad = backward(); update()       # right\n",
        confused_with=("BP107",),
        by_label={
            "all values": ("z, a, loss, δ and gradients at w", "z, a, loss, δ and gradients at w⁺"),
            "the gradients, after all updates": "∂L/∂w at the w of the last update",
            "all values, after all updates": (
                "z, a, loss, δ and gradients at w",
                "z, a, loss, δ and gradients at the w of the last update",
            ),
        },
        variants=variants(
            variant(GradientTakenAfterUpdate, "the gradients"),
            variant(GradientTakenAfterUpdate, "all values", everything=True),
            variant(GradientTakenAfterUpdate, "the gradients, after all updates", at_the_end=True, usual=False),
            variant(
                GradientTakenAfterUpdate, "all values, after all updates", everything=True, at_the_end=True, usual=False
            ),
        ),
    ),
    Bug(
        "BP519",
        "update-on-first-layer-only",
        "Only one layer is updated.",
        right="every layer's parameters move",
        wrong="only those of one layer move",
        stays_right="every gradient, and that layer's parameters",
        fix="update inside the loop over the layers",
        example="layers[0].update()                    # BP519\nfor layer in layers: layer.update()   # right\n",
        confused_with=("BP520",),
        by_label={"the first": "only those of the first layer move", "the last": "only those of the last layer move"},
        variants=variants(
            variant(UpdateOnOneLayerOnly, "the first"), variant(UpdateOnOneLayerOnly, "the last", first=False)
        ),
    ),
    Bug(
        "BP520",
        "parameters-never-updated",
        "The parameters after the step are those before it.",
        right="w⁺ = w − η ∂L/∂w",
        wrong="w⁺ = w",
        stays_right="every gradient",
        fix="write the new values back (a copy may have been updated), and report them after the step",
        example="w = w - rate * grad      # BP520 where w is a local copy\nself.w = self.w - rate * grad  # right\n",
        confused_with=("BP504", "BP519"),
        variants=variants(NeverUpdated),
    ),
    Bug(
        "BP521",
        "steps-ignored",
        "One step of training is done however many are asked for.",
        right="as many updates as steps says, each from the parameters of the one before",
        wrong="the parameters after the first update",
        stays_right="cases of one step",
        fix="repeat forward, backward and update as often as steps says",
        example="backward(); update()                      # BP521\nfor _ in range(steps): backward(); update()  # right\n",
        confused_with=("BP406",),
        variants=variants(StepsIgnored),
    ),
)
