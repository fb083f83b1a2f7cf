"""The stages of backpropagation for one neuron, each naming its equation.

Nielsen's four equations (*Neural Networks and Deep Learning*, ch. 2) are BP1 (δ of the output), BP2 (δ from
the next layer), BP3 (∂L/∂b) and BP4 (∂L/∂w). In every method ``l`` is the layer's part of the pass, ``s`` the
sample, ``j`` the neuron, ``i`` or ``k`` a neuron of the layer before. A named bug is a subclass that replaces
some of these methods, and nothing else.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

from backprop_check.kinds.kind import quantity_of
from backprop_check.reference.activations import ELEMENTWISE, LAYERWISE
from backprop_check.reference.losses import LOSSES, MATCHED, smoothed
from backprop_check.reference.optimizers import Optimizers, Remembered

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.network import Case
    from backprop_check.reference.backward import LayerPass, Pass
    from backprop_check.reference.circuit import Circuit, Rule
    from backprop_check.reference.wired import LayerTables, WiredPass


class Stages(Optimizers):
    """The right mathematics, over the reading ``m``. One object works out a whole case, all its training steps."""

    #: Whether the δ of a loss that undoes its activation is taken as p Σt − t; else by the chain rule as it stands.
    fused = True

    #: Another way to string the stages together than ``backward.one_pass`` (for bugs that lie there).
    pass_function: Callable[..., Pass] | None = None

    def __init__(self, m: Any) -> None:
        super().__init__()
        self.m = m

    def over(self, m: Any) -> Self:
        """The same stages, with all that they know by now, over another reading."""
        other = copy.copy(self)
        other.m = m
        return other

    def prepare(self, p: Any) -> None:
        """Before a pass; the right mathematics has nothing to change in what it is given."""

    def whole_pass(
        self, right: Callable[..., WiredPass], case: Case, parameters: list[Any], buffers: list[Any], step: int
    ) -> WiredPass:
        """One pass over the batch and its update: ``right`` is ``wired.wired_pass``, which strings the stages together.

        A bug that lies there strings them together anew, from ``begin``, ``through`` and ``update`` of that module.
        """
        return right(case, parameters, buffers, self.m, self, step)

    # Any layer (``circuit``) --------------------------------------------------------------------

    def equations(self, c: Circuit, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        """What a layer computes, as its kind says."""
        return layer.equations(c, x, parameters, inputs)

    def value(self, rule: Rule, s: Any, o: Any) -> Any:
        """Unit o of the table that a rule makes."""
        return rule.value(self.m, s, o)

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """What flows back through a rule to what it reads in that role: ∂L/∂out and ∂out/∂i."""
        return rule.share(self.m, role, s, i)

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        """∂L/∂z where the loss undoes its activation: p Σt − t, Σ over the softmax's own group; or ``composed``."""
        groups = getattr(rule, "groups", None)  # none: a sigmoid, each for itself
        total = self.m.number(1.0) if groups is None else self.m.total(p.targets[s, groups[i]])
        return self.m.either(self.in_batch(p, rule.out.values[s, i] * total - p.targets[s, i]), composed)

    # Forward ------------------------------------------------------------------------------------

    def weighted_sum(self, l: LayerPass, s: Any, j: Any) -> Any:
        """zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ."""
        return self.m.dot(l.previous[s, :], l.weights[j, :], plus=l.biases[j])

    def activate(self, l: LayerPass, s: Any) -> None:
        """aⱼ = φ(zⱼ), for the neurons of a layer (softmax needs them all)."""
        if l.activation in LAYERWISE:
            LAYERWISE[l.activation].activate(self.m, l.z, s, l.units, l.a)
            return
        function = ELEMENTWISE[l.activation]
        for j in self.m.each(l.units):
            l.a[s, j] = function.value(self.m, l.z[s, j], l.alpha)

    def smoothed(self, t: Any, epsilon: Any, classes: int) -> Any:
        """t (1 − ε) + ε/K: a label, where labels are smoothed."""
        return smoothed(self.m, t, epsilon, classes)

    def loss_term(self, p: Pass, s: Any, k: Any) -> Any:
        """What output k adds to ℓ(a, t): a logarithm of a sigmoid or softmax is taken of z, not of a."""
        m, last, t = self.m, p.layers[-1], p.targets[s, k]
        if (last.activation, p.loss_kind) == ("sigmoid", "binary_cross_entropy"):
            # −t ln σ(z) − (1 − t) ln(1 − σ(z)) = softplus(z) − t z
            softplus = ELEMENTWISE["softplus"].value(m, last.z[s, k], 0.0)
            fused = softplus - t * last.z[s, k]
            return m.either(fused, lambda: LOSSES[p.loss_kind].term(m, last.a[s, k], t, p.threshold))
        if (last.activation, p.loss_kind) == ("softmax", "cross_entropy"):
            logs = m.grid(p.samples, last.units)
            LAYERWISE["log_softmax"].activate(m, last.z, s, last.units, logs)
            fused = -(t * logs[s, k])
            return m.either(fused, lambda: LOSSES[p.loss_kind].term(m, last.a[s, k], t, p.threshold))
        return LOSSES[p.loss_kind].term(m, last.a[s, k], t, p.threshold)

    def sample_loss(self, p: Pass, terms: Any, s: Any) -> Any:
        """ℓ = Σₖ termₖ, or the mean over the outputs."""
        total = self.m.sum(terms[s, :])
        return total / float(p.layers[-1].units) if LOSSES[p.loss_kind].mean_over_outputs else total

    def batch_loss(self, p: Pass, total: Any) -> Any:
        """L: the mean or the sum of the samples' losses."""
        return self.in_batch(p, total)

    # Backward -----------------------------------------------------------------------------------

    def output_error(self, p: Pass, s: Any, k: Any) -> Any:
        """∂L/∂aₖ of the output: the loss's derivative, times the share of a sample in the batch's loss."""
        last, loss = p.layers[-1], LOSSES[p.loss_kind]
        slope = loss.derivative(self.m, last.a[s, k], p.targets[s, k], p.threshold)
        if loss.mean_over_outputs:
            slope = slope / self.m.number(float(last.units))
        return self.in_batch(p, slope)

    def in_batch(self, p: Pass, x: Any) -> Any:
        """The batch's loss is the mean or the sum of the samples' losses."""
        return x / self.m.number(float(p.samples)) if p.reduction == "mean" else x

    def error_behind(self, l: LayerPass, s: Any, k: Any) -> Any:
        """∂L/∂aₖ = Σⱼ wⱼₖ δⱼ of a neuron (or input) k that ``l`` reads: gradients that meet are added (BP2)."""
        return self.m.dot(l.delta[s, :], l.weights[:, k])

    def delta(self, p: Pass, l: LayerPass, s: Any) -> None:
        """δⱼ = ∂L/∂aⱼ · φ′(zⱼ) (BP1, BP2), for the neurons of a layer."""
        if self.is_fused(p, l):
            self.matched_delta(p, l, s)
        else:
            self.composed_delta(l, s)

    def is_fused(self, p: Pass, l: LayerPass) -> bool:
        """Whether ``l`` is an output whose loss undoes its activation (sigmoid or softmax with its cross-entropy)."""
        return self.fused and l.next is None and (l.activation, p.loss_kind) in MATCHED

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        """The chain rule as it stands: the error times the activation's derivative (Jacobian)."""
        if l.activation in LAYERWISE:
            LAYERWISE[l.activation].backpropagate(self.m, l.a, l.error, s, l.units, l.delta)
            return
        for j in self.m.each(l.units):
            l.delta[s, j] = l.error[s, j] * self.slope(l, s, j)

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        """φ′(zⱼ)."""
        return ELEMENTWISE[l.activation].derivative(self.m, l.z[s, j], l.a[s, j], l.alpha)

    def matched_delta(self, p: Pass, l: LayerPass, s: Any) -> None:
        """δⱼ = pⱼ Σt − tⱼ (p − t for one neuron's sigmoid): the logarithm undoes the exponential."""
        m = self.m
        total = m.sum(p.targets[s, :]) if l.activation == "softmax" else m.number(1.0)
        fused = [self.in_batch(p, l.a[s, j] * total - p.targets[s, j]) for j in m.each(l.units)]

        def composed(j: Any) -> Any:
            for k in m.each(l.units):
                l.error[s, k] = self.output_error(p, s, k)
            self.composed_delta(l, s)
            return l.delta[s, j]

        values = [m.either(x, lambda j=j: composed(j)) for j, x in zip(m.each(l.units), fused, strict=True)]
        for j, value in zip(m.each(l.units), values, strict=True):
            l.delta[s, j] = value

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        """∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ, summed over the samples (BP4)."""
        return self.m.dot(l.delta[:, j], l.previous[:, i])

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        """∂L/∂bⱼ = Σₛ δⱼ (BP3)."""
        return self.m.sum(l.delta[:, j])

    def penalized_weight(self, p: Pass, l: LayerPass, j: Any, i: Any, gradient: Any) -> Any:
        """∂L/∂wⱼᵢ of the loss with its penalty."""
        return self.penalized(p, "weight", gradient, l.weights[j, i])

    def penalized_bias(self, p: Pass, l: LayerPass, j: Any, gradient: Any) -> Any:
        """∂L/∂bⱼ of the loss with its penalty, which most leave biases without."""
        return self.penalized(p, "bias", gradient, l.biases[j])

    def penalized_number(self, p: Any, l: LayerTables, name: str, i: Any, gradient: Any) -> Any:
        """The same for number i of any parameter of any layer."""
        return self.penalized(p, quantity_of(name), gradient, l.parameters[name].values[0, i])

    # Update -------------------------------------------------------------------------------------

    def updated_weight(self, l: LayerPass, j: Any, i: Any, learning_rate: float) -> Any:
        """wⱼᵢ⁺ = wⱼᵢ − η ∂L/∂wⱼᵢ, or what the case's optimizer makes of it, after every delta has been computed."""
        if self.optimizer is None:
            return self.updated(l.weights[j, i], l.weight_gradient[j, i], learning_rate)
        of = Remembered(self, l.index, "weight", (j, i), lambda: self.m.grid(l.units, l.inputs))
        return self.trained(l.weights[j, i], l.weight_gradient[j, i], of)

    def updated_bias(self, l: LayerPass, j: Any, learning_rate: float) -> Any:
        """bⱼ⁺ = bⱼ − η ∂L/∂bⱼ, or what the case's optimizer makes of it."""
        if self.optimizer is None:
            return self.updated(l.biases[j], l.bias_gradient[j], learning_rate)
        of = Remembered(self, l.index, "bias", j, lambda: self.m.line(l.units))
        return self.trained(l.biases[j], l.bias_gradient[j], of)

    def updated_number(self, l: LayerTables, name: str, i: Any, learning_rate: float) -> Any:
        """The same for number i of any parameter of any layer."""
        table = l.parameters[name]
        w, g = table.values[0, i], table.error[0, i]
        if self.optimizer is None:
            return self.updated(w, g, learning_rate)
        return self.trained(w, g, Remembered(self, l.index, quantity_of(name), (0, i), lambda: self.m.row(table.units)))
