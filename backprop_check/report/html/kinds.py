"""What the page shows of a layer kind: one class a kind, the twin of a renderer in ``assets/kinds.js``.

A class says which arrays a layer has (``slots``), where a neuron stands in each, what parameters to embed
(``parameters``) and what the reference alone knows (``derived``: φ′(z) and ∂L/∂a). A new kind is a class here, a
renderer there, and a line in each table.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from backprop_check.case.network import DEFAULT_ALPHA, DEFAULT_THRESHOLD
from backprop_check.numbers import Scalars
from backprop_check.reference.activations import ELEMENTWISE
from backprop_check.reference.losses import LOSSES, smoothed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.case.network import Case, Layer
    from backprop_check.compare.trace import Array, Slot
    from backprop_check.report.html.shown import Shown


class Dense:
    """Neurons that read all of the layer before."""

    @staticmethod
    def alpha(layer: Layer) -> float | None:
        """The activation's parameter, written out."""
        if layer.activation not in DEFAULT_ALPHA:
            return None
        return DEFAULT_ALPHA[layer.activation] if layer.alpha is None else layer.alpha

    @staticmethod
    def parameters(case: Case, index: int, shown: Shown) -> dict[str, Any]:
        """Weights and biases of the shown neurons from the shown inputs, flat."""
        layer = case.network.layers[index]
        rows, columns = shown.layers[index], shown.before(index)
        weights, biases = layer.parameters.weights, layer.parameters.biases
        return {"W": [weights[j][i] for j in rows for i in columns], "B": [biases[j] for j in rows]}

    @staticmethod
    def derived(case: Case, index: int, values: Mapping[Slot, Array], shown: Shown) -> dict[str, Any]:
        """φ′(z) and ∂L/∂a of the shown neurons and samples, flat; null where there is no finite number."""
        from backprop_check.compare.trace import Slot  # noqa: PLC0415

        m, layers = Scalars.of_floats(), case.network.layers
        layer, last = layers[index], index == len(layers) - 1
        z, a = values[Slot("z", index)], values[Slot("a", index)]
        slopes: list[float | None] | None = None
        if layer.activation in ELEMENTWISE:
            alpha = Dense.alpha(layer) or 0.0
            function = ELEMENTWISE[layer.activation]
            slopes = [
                _finite(lambda s=s, j=j: function.derivative(m, float(z[s, j]), float(a[s, j]), alpha))
                for s in shown.samples
                for j in shown.layers[index]
            ]
        if last:
            errors = [_finite(lambda s=s, j=j: _output_error(m, case, a, s, j)) for s in shown.samples
                      for j in shown.layers[index]]  # fmt: skip
        else:
            delta, weights = values[Slot("delta", index + 1)], layers[index + 1].parameters.weights
            rows = range(layers[index + 1].units)
            errors = [
                _finite(lambda s=s, j=j: math.fsum(weights[k][j] * float(delta[s, k]) for k in rows))
                for s in shown.samples
                for j in shown.layers[index]
            ]
        return {"slope": slopes, "err": errors}


def _output_error(m: Any, case: Case, a: Array, s: int, k: int) -> float:
    loss = LOSSES[case.loss.kind]
    threshold = DEFAULT_THRESHOLD if case.loss.threshold is None else case.loss.threshold
    target, smoothing = case.targets[s][k], case.loss.label_smoothing
    if smoothing is not None:
        target = smoothed(m, target, smoothing, case.network.layers[-1].units)
    slope = loss.derivative(m, float(a[s, k]), target, threshold)
    slope = slope / case.network.layers[-1].units if loss.mean_over_outputs else slope
    return float(slope / len(case.inputs) if case.reduction == "mean" else slope)


def _finite(compute: Any) -> float | None:
    try:
        value = float(compute())
    except (ArithmeticError, ValueError):
        return None
    return value if math.isfinite(value) else None


KINDS: dict[str, type[Dense]] = {"dense": Dense}


def flat(rows: Sequence[Sequence[float]], at: Sequence[int], columns: Sequence[int]) -> list[float]:
    """The chosen rows' chosen columns, one after the other."""
    return [rows[s][i] for s in at for i in columns]
