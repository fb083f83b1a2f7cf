"""The stages of backpropagation in a pass, each with its equation: rules, loss, δ of the output, update.

In every method ``s`` is the sample and ``o``, ``i`` or ``k`` a unit. A named bug is a subclass that replaces some of
these methods, and nothing else.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

from backprop_check.functions.activations import ELEMENTWISE
from backprop_check.functions.losses import LOSSES
from backprop_check.kinds.kind import quantity_of
from backprop_check.reference.optimizers import Optimizers, Remembered

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case
    from backprop_check.reference.rules import Rule


class Stages(Optimizers):
    """The right mathematics, on the reading ``m``. One object computes a whole case, with all its training steps."""

    #: Whether the δ of a loss that undoes its activation is taken as p Σt − t; else by the chain rule as it stands.
    fused = True

    def __init__(self, m: Any) -> None:
        super().__init__()
        self.m = m

    def over(self, m: Any) -> Self:
        """The same stages, with all that they remember, on another reading."""
        other = copy.copy(self)
        other.m = m
        return other

    def prepare(self, p: Any) -> None:
        """Called before a pass with its inputs, which a bug may change; the right mathematics changes nothing."""

    def whole_pass(
        self, right: Callable[..., Any], case: Case, parameters: list[Any], buffers: list[Any], step: int
    ) -> Any:
        """One pass over the batch and its update, a ``passes.Pass``: ``right`` is ``passes.one_pass``.

        A bug in the order of the stages arranges ``begin``, ``through`` and ``update`` of that module in another way.
        """
        return right(case, parameters, buffers, self.m, self, step)

    # The circuit of a layer -------------------------------------------------------------------

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        """The output of a layer, by the equations of its kind."""
        return layer.equations(c, x, parameters, inputs)

    def value(self, rule: Rule, s: Any, o: Any) -> Any:
        """Unit o of the table that a rule computes."""
        return rule.value(self.m, s, o)

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """The gradient that flows back through a rule to the table that it reads in that role: ∂L/∂out and ∂out/∂i."""
        return rule.share(self.m, role, s, i)

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        """∂L/∂z where the loss undoes its activation: p Σt − t, Σ over the softmax's group; or ``composed()``,
        the chain rule.
        """
        groups = getattr(rule, "groups", None)  # none: a sigmoid, each for itself
        total = self.m.number(1.0) if groups is None else self.m.total(p.targets[s, groups[i]])
        return self.m.either(self.in_batch(p, rule.out.values[s, i] * total - p.targets[s, i]), composed)

    # The loss -----------------------------------------------------------------------------------

    def smoothed(self, t: Any, epsilon: Any, classes: int) -> Any:
        """t (1 − ε) + ε/K: a smoothed label (Szegedy et al. 2016)."""
        return t * (1 - epsilon) + epsilon / self.m.number(float(classes))

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        """The term of output k in ℓ(a, t).

        After a sigmoid, binary cross-entropy is computed as softplus(z) − t z; after a softmax, cross-entropy as
        −t (z − max z − ln Σ e^(z − max z)).
        """
        m, last, t = self.m, p.layers[-1], p.targets[s, k]
        if (last.activation, p.loss_kind) == ("sigmoid", "binary_cross_entropy"):
            # −t ln σ(z) − (1 − t) ln(1 − σ(z)) = softplus(z) − t z
            softplus = ELEMENTWISE["softplus"].value(m, last.z[s, k], 0.0)
            fused = softplus - t * last.z[s, k]
            return m.either(fused, lambda: LOSSES[p.loss_kind].term(m, last.a[s, k], t, p.threshold))
        if (last.activation, p.loss_kind) == ("softmax", "cross_entropy"):
            group = last.z[s, :]
            top = m.top(group)
            total = m.total(m.vector(lambda x, top: m.exp(x - top), group, top))
            fused = -(t * ((last.z[s, k] - top) - m.log(total)))
            return m.either(fused, lambda: LOSSES[p.loss_kind].term(m, last.a[s, k], t, p.threshold))
        return LOSSES[p.loss_kind].term(m, last.a[s, k], t, p.threshold)

    def sample_loss(self, p: Any, terms: Any, s: Any) -> Any:
        """ℓ = Σₖ termₖ, or the mean over the outputs."""
        total = self.m.total(terms[s, :])
        return total / float(p.layers[-1].units) if LOSSES[p.loss_kind].mean_over_outputs else total

    def batch_loss(self, p: Any, total: Any) -> Any:
        """L = (1/N) Σₛ ℓₛ or Σₛ ℓₛ, from the sum ``total``."""
        return self.in_batch(p, total)

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        """∂L/∂aₖ of the output: the derivative of the loss, divided by the number of samples for a mean (part of
        Nielsen's BP1).
        """
        last, loss = p.layers[-1], LOSSES[p.loss_kind]
        slope = loss.derivative(self.m, last.a[s, k], p.targets[s, k], p.threshold)
        if loss.mean_over_outputs:
            slope = slope / self.m.number(float(last.units))
        return self.in_batch(p, slope)

    def in_batch(self, p: Any, x: Any) -> Any:
        """x/N where the loss of the batch is a mean, else x."""
        return x / self.m.number(float(p.samples)) if p.reduction == "mean" else x

    def penalized_number(self, p: Any, l: Any, name: str, i: Any, gradient: Any) -> Any:
        """∂L/∂w of number i of parameter ``name`` of a layer, plus the derivative of the penalty."""
        return self.penalized(p, quantity_of(name), gradient, l.parameters[name].values[0, i])

    # Update -------------------------------------------------------------------------------------

    def updated_number(self, l: Any, name: str, i: Any, learning_rate: float) -> Any:
        """w⁺ of number i of parameter ``name`` of a layer: w − η ∂L/∂w, or the update of the case's optimizer."""
        table = l.parameters[name]
        w, g = table.values[0, i], table.error[0, i]
        if self.optimizer is None:
            return self.updated(w, g, learning_rate)
        return self.trained(w, g, Remembered(self, l.index, quantity_of(name), (0, i), lambda: self.m.row(table.units)))
