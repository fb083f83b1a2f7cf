"""BP107 to BP109, BP117 and BP118: the error that a neuron gets from those that read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, variant, variants
from backprop_check.diagnose.bugs.paths import PathsVisitedAgain
from backprop_check.diagnose.rules import (
    column_after_column,
    dense_or_linear,
    instead,
    is_learnt,
    may_be_square,
    parameter_factor,
    reordered,
    several_layers,
    times,
    without_last,
)
from backprop_check.reference.rules import ALL, read_by

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.diagnose.rules import Share
    from backprop_check.reference.rules import Rule, Table, WeightedSum

_DELTA = frozenset({"delta"})
_GRADIENT = "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ"
_ERROR = "∂L/∂a = Σ over all layers that read it"


class OtherWeights(SwappedRules):
    """The base of mistakes that use other weights backwards than forwards, in layers where one sum reads them."""

    gives = _DELTA
    kinds: ClassVar[tuple[str, ...]] = ("dense", "linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")

    def weights(self, rule: WeightedSum, number: int, w: Table) -> Any:
        """The row of weights that is used instead; None for the right one."""
        raise NotImplementedError

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> Share:
        w = parameter_factor(rule, role, "x", self.kinds_of(OtherWeights))
        other = None if w is None else self.weights(rule, role[1], w)  # type: ignore[arg-type] # a sum has weights
        if w is None or other is None:
            return super().share(rule, role, s, i)
        with instead(w, values=other):
            return super().share(rule, role, s, i)


class WeightsUpdatedTooEarly(OtherWeights):
    """Σ w⁺ δ with w⁺ = w − η ∂L/∂w, computed from the gradient of this layer alone."""

    def weights(self, rule: WeightedSum, number: int, w: Table) -> Any:
        late, rate = self.m.row(w.units), rule.case.optimizer.rate(rule.step)
        for k in self.m.each(w.units):
            gradient = self.m.dots([super().share(rule, ("weights", number), ALL, k)], [])
            late[0, k] = self.updated(w.values[0, k], gradient, rate)
        return late

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.optimizer is not None and super().matters(case)


class FanOutOverwritten(SwappedRules):
    """Only the last downstream neuron counts."""

    gives = _DELTA

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if role[0] != "x" or not dense_or_linear(rule):
            return super().share(rule, role, s, i)
        source = rule.sources[role[1]]
        last, through = without_last(source.wiring).last_reader
        return rule.out.error[s, last[i]], source.weights.values[s, through[i]]


class WeightsTransposed(OtherWeights):
    """Σ w[j][k] δₖ in place of Σ w[k][j] δₖ, where a layer is square; ``flat``: in any layer, from a flat list of
    weights.
    """

    kinds = ("dense", "linear")
    __flat: ClassVar[bool] = False

    def weights(self, rule: WeightedSum, number: int, w: Table) -> Any:
        del number
        units = rule.spec.units if rule.spec.kind == "dense" else rule.spec.out_features
        inputs = w.units // units
        if units != inputs and not self.__flat:
            return None
        return reordered(self.m, w.values, column_after_column((units, inputs)))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return super().matters(case) if cls.__flat else may_be_square(case)


class PathsCountedTwice(SwappedRules):
    """The error of a hidden layer is added twice."""

    gives = _DELTA

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> Share:
        right = super().share(rule, role, s, i)
        table = read_by(rule, role)
        inside = table is None or table.made_by is None or table.made_by.layer == rule.layer
        return right if inside else times(self.m, 2.0, right)

    matters = staticmethod(several_layers)


class ErrorSignFlipped(SwappedRules):
    """t − a in place of a − t, from the output's δ on."""

    gives = _DELTA

    def batch_loss(self, p: Any, total: Any) -> Any:
        return super().in_batch(p, total)

    def in_batch(self, p: Any, x: Any) -> Any:
        return -super().in_batch(p, x)


class ErrorSignFlippedAndAdded(ErrorSignFlipped):
    """t − a, with the update added: training goes in the right direction, but the gradients have the wrong sign."""

    gives = frozenset({"delta", "updated_weight", "updated_bias"})

    def updated(self, parameter: Any, gradient: Any, learning_rate: float) -> Any:
        return parameter + self.m.number(learning_rate) * gradient


class GradientSignFlipped(SwappedRules):
    """Every gradient is negated; the δ are right."""

    gives = frozenset({"weight_gradient", "bias_gradient", "updated_weight", "updated_bias"})

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> Share:
        right = super().share(rule, role, s, i)
        return times(self.m, -1.0, right) if is_learnt(read_by(rule, role)) else right


BUGS = (
    Bug(
        "BP107",
        "weights-updated-too-early",
        "The error is passed back through weights that have already been updated.",
        right="δⱼ = (Σₖ wₖⱼ δₖ) · φ′(zⱼ), with the weights of the forward pass",
        wrong="δⱼ = (Σₖ wₖⱼ⁺ δₖ) · φ′(zⱼ), with w⁺ = w − η ∂L/∂w",
        stays_right="the output layer; everything, in a pass without an update",
        fix="compute the deltas of all layers first, then update all layers",
        example="for layer in reversed(layers):\n    layer.backward()\n    layer.update()        # BP107: the layer before reads these weights\n"
        "for layer in layers: layer.update()  # right: after the loop\n",
        confused_with=("BP505",),
        seen="joelgrus/data-science-from-scratch#31, CodingTrain/Toy-Neural-Network-JS#72, Mazur's page",
        variants=variants(WeightsUpdatedTooEarly),
    ),
    Bug(
        "BP108",
        "fan-out-overwritten",
        "A neuron that feeds several keeps only the last one's share: = was written instead of +=.",
        right="∂L/∂aⱼ = Σₖ wₖⱼ δₖ",
        wrong="∂L/∂aⱼ = wₙⱼ δₙ, of the last neuron n only",
        stays_right="the forward pass and the last layer; neurons that feed one neuron only",
        fix="add up what comes back from every downstream neuron: gradients that meet are added",
        example="for k in range(n): error[j] = w[k][j] * delta[k]   # BP108\nfor k in range(n): error[j] += w[k][j] * delta[k]  # right\n",
        confused_with=("BP124",),
        seen="the micrograd lecture",
        by_label={
            "the first of the layers that read an output": (
                _ERROR,
                "∂L/∂a = what the first of these layers sends back",
            ),
            "the last of the layers that read an output": (_ERROR, "∂L/∂a = what the last of these layers sends back"),
        },
        variants=variants(FanOutOverwritten),
    ),
    Bug(
        "BP109",
        "weights-transposed",
        "The backward sum reads the weights with rows and columns swapped.",
        right="∂L/∂aⱼ = Σₖ w[k][j] δₖ",
        wrong="∂L/∂aⱼ = Σₖ w[j][k] δₖ",
        stays_right="the forward pass and the last layer's delta; it raises no error where a layer is square",
        fix="going back, neuron j's error reads column j of the next layer's weights, not row j",
        example="error[j] += w[j][k] * delta[k]  # BP109\nerror[j] += w[k][j] * delta[k]  # right\n",
        confused_with=("BP205", "BP110"),
        seen="iamtrask/Grokking-Deep-Learning#22",
        by_label={"in a flat list of weights": "∂L/∂aⱼ = Σₖ w δₖ, with rows and columns swapped in a flat list"},
        variants=variants(
            WeightsTransposed, variant(WeightsTransposed, "in a flat list of weights", flat=True, usual=False)
        ),
    ),
    Bug(
        "BP117",
        "paths-counted-twice",
        "The error of a hidden neuron is counted twice: the node is propagated once for each path to it.",
        right="∂L/∂aⱼ = Σₖ wₖⱼ δₖ, once",
        wrong="∂L/∂aⱼ = 2 Σₖ wₖⱼ δₖ",
        stays_right="the forward pass and the output layer",
        fix="visit every neuron once, after all that it feeds (reverse topological order)",
        example="for child in node.children: child.grad += ...; child.backward()  # BP117: visited again and again\n"
        "for node in reversed(topological_order): node.backward()          # right\n",
        seen="karpathy/micrograd#64",
        by_label={
            "one visit for each path": (
                _GRADIENT,
                "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ, added once for each path from j to the outputs",
            ),
            "one visit for each path, and deltas pile up": "δⱼ, added up once for each path from j to the outputs",
            "once for each layer that reads an output": "∂L/∂a = n Σ, for an output that n layers read",
        },
        variants=variants(
            variant(PathsCountedTwice, "the error of every hidden neuron doubled"),
            variant(PathsVisitedAgain, "one visit for each path", usual=False),
            variant(PathsVisitedAgain, "one visit for each path, and deltas pile up", piling_up=True, usual=False),
        ),
    ),
    Bug(
        "BP118",
        "error-sign-flipped",
        "Every gradient has the wrong sign: the error was taken as t − a.",
        right="∂L/∂a = a − t",
        wrong="∂L/∂a = t − a",
        stays_right="the forward pass and the loss",
        fix="take a − t (and go down: w −= η · gradient), or add the update; but a gradient is reported as ∂L/∂w",
        example="error = t - a  # BP118\nerror = a - t  # right\n",
        confused_with=("BP501",),
        by_label={
            "the gradients only": (_GRADIENT, "∂L/∂wⱼᵢ = −Σₛ δⱼ aᵢ"),
            "and the update is added": ("∂L/∂a = a − t, w⁺ = w − η ∂L/∂w", "∂L/∂a = t − a, w⁺ = w + η ∂L/∂w"),
        },
        variants=variants(
            variant(ErrorSignFlipped, "from the output's delta on"),
            variant(GradientSignFlipped, "the gradients only"),
            variant(ErrorSignFlippedAndAdded, "and the update is added"),
        ),
    ),
)
