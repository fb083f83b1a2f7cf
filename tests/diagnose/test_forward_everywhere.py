"""Mistakes of numbers, the forward pass and softmax get the same name in a chain, in a graph and around a convolution.

The program is the port in plain Python, which computes neuron by neuron. Every network goes through its graph code, so
that each mistake is written once.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from asking import judged, named

import backprop_check
from backprop_check.case.network import Case
from backprop_check.cases.families import family_cases
from backprop_check.cases.generate import generated_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Numbers = list[float]
    Patch = pytest.MonkeyPatch

sys.path.insert(0, str(Path(backprop_check.__file__).parent / "ports" / "python"))
activations, any_layer, dense, graph, losses, network = (
    cast("Any", importlib.import_module(name))
    for name in ("activations", "any_layer", "dense", "graph", "losses", "network")
)

#: The number of cases of each network that show a mistake, and of other cases.
_SHOWING, _OTHERS = 14, 6


# Numbers ------------------------------------------------------------------------------------------


def read_as(change: Callable[[Numbers, list[int]], Numbers]) -> Callable[[Patch], None]:
    """The case's parameters, changed as they are read."""

    def mistake(patch: Patch) -> None:
        right = any_layer.AnyLayer.read

        def read(self: Any, shapes: dict[str, list[int]]) -> None:
            right(self, shapes)
            self.parameters = {name: change(numbers, self.shapes[name]) for name, numbers in self.parameters.items()}

        patch.setattr(any_layer.AnyLayer, "read", read)

    return mistake


def to_single(numbers: Numbers, _shape: list[int]) -> Numbers:
    return [float(np.float32(x)) for x in numbers]


def filled_by_columns(numbers: Numbers, shape: list[int]) -> Numbers:
    """The numbers of a matrix, filled in column by column."""
    if len(shape) != 2:
        return numbers
    rows, columns = shape
    return [numbers[c * rows + r] for r in range(rows) for c in range(columns)]


def rows_for_columns(numbers: Numbers, shape: list[int]) -> Numbers:
    """Rows and columns swapped where a matrix is square."""
    return filled_by_columns(numbers, shape) if len(shape) == 2 and shape[0] == shape[1] else numbers


def written_by_columns(patch: Patch) -> None:
    """Matrices are read, and gradients written, column by column."""
    read_as(filled_by_columns)(patch)
    right = dense.Dense.backward_from_z

    def backward_from_z(self: Any, delta: Any) -> Any:
        back, (rows, columns) = right(self, delta), (self.units, self.inputs)
        found = self.gradients["weights"]
        self.gradients["weights"] = [found[r * columns + c] for c in range(columns) for r in range(rows)]
        return back

    patch.setattr(dense.Dense, "backward_from_z", backward_from_z)


def mean_by_integers(patch: Patch) -> None:
    """1/N = 0."""
    right = graph.read_batch

    def read_batch(request: Any) -> Any:
        samples, divisor = right(request)
        return samples, divisor if divisor == 1 else math.inf

    patch.setattr(graph, "read_batch", read_batch)


def half_by_integers(patch: Patch) -> None:
    """½ = 0."""
    patch.setattr(losses.HalfSquaredError, "of_sample", lambda _self, _a, _t: 0.0)


def floor_of_delta(patch: Patch) -> None:
    """⌊δ⌋ at the output."""
    built, from_z = graph.Graph.__init__, dense.Dense.backward_from_z

    def marked(self: Any, nodes: Any, *arguments: Any) -> None:
        built(self, nodes, *arguments)
        nodes[-1].layer.is_output = True

    def backward_from_z(self: Any, delta: Any) -> Any:
        cut = [[float(math.floor(x)) for x in row] for row in delta] if hasattr(self, "is_output") else delta
        return from_z(self, cut)

    patch.setattr(graph.Graph, "__init__", marked)
    patch.setattr(dense.Dense, "backward_from_z", backward_from_z)


# The forward pass ---------------------------------------------------------------------------------


def no_bias(patch: Patch) -> None:
    patch.setattr(
        network.Neuron,
        "pre_activation",
        lambda self, inputs: sum(w * x for w, x in zip(self.weights, inputs, strict=True)),
    )


def by_other_z(z_of: Callable[[Any, Numbers], Numbers]) -> Callable[[Patch], None]:
    """A layer whose pre-activations are computed in another way."""

    def mistake(patch: Patch) -> None:
        def forward(self: Any, inputs: Numbers) -> Numbers:
            self.inputs, self.z = inputs, z_of(self, inputs)
            self.a = self.activation.activate(self.z)
            return self.a  # type: ignore[no-any-return]

        patch.setattr(network.Layer, "forward", forward)

    return mistake


def of_first_bias(layer: Any, inputs: Numbers) -> Numbers:
    first = layer.neurons[0].bias
    return [n.pre_activation(inputs) - n.bias + first for n in layer.neurons]


def of_columns(layer: Any, inputs: Numbers) -> Numbers:
    if len(layer.neurons) != len(inputs):
        return [n.pre_activation(inputs) for n in layer.neurons]
    rows = [n.weights for n in layer.neurons]
    return [n.bias + sum(row[j] * x for row, x in zip(rows, inputs, strict=True)) for j, n in enumerate(layer.neurons)]


def not_activated(*, output: bool) -> Callable[[Patch], None]:
    """a = z at the output, or before it, with the right derivative."""

    def mistake(patch: Patch) -> None:
        right = graph.Graph.__init__

        def built(self: Any, nodes: Any, *arguments: Any) -> None:
            right(self, nodes, *arguments)
            for node in nodes:
                if hasattr(node.layer, "activation") and (node is nodes[-1]) is output:
                    kind = type(node.layer.activation)
                    passed = type("Passed", (kind,), {"activate": lambda _self, z: list(z)})
                    node.layer.activation.__class__ = passed

        patch.setattr(graph.Graph, "__init__", built)

    return mistake


def other_function(asked: str, used: str) -> Callable[[Patch], None]:
    """Dense layers look up another function."""

    def mistake(patch: Patch) -> None:
        known = activations.ACTIVATIONS
        patch.setattr(dense, "ACTIVATIONS", {**known, asked: known[used]})

    return mistake


def tanh_for_nothing(patch: Patch) -> None:
    """tanh in place of the identity, in the forward pass only."""
    patch.setattr(activations.Identity, "value", lambda _self, z: math.tanh(z))


def softmax_over_samples(patch: Patch) -> None:
    right = dense.Dense.forward

    def forward(self: Any, batch: Any) -> Any:
        a = right(self, batch)
        if not isinstance(self.activation, activations.Softmax):
            return a
        columns = [self.activation.activate(list(column)) for column in zip(*self.z, strict=True)]
        rows = [list(row) for row in zip(*columns, strict=True)]
        for layer, row in zip(self.samples, rows, strict=True):
            layer.a = row
        return rows

    patch.setattr(dense.Dense, "forward", forward)


def softmax_unshifted(patch: Patch) -> None:
    def activate(_self: Any, z: Numbers) -> Numbers:
        with np.errstate(all="ignore"):
            powers = np.exp(np.array(z))
            return cast("Numbers", (powers / powers.sum()).tolist())

    patch.setattr(activations.Softmax, "activate", activate)


def of_first_sample(patch: Patch) -> None:
    right = graph.Graph.forward
    patch.setattr(graph.Graph, "forward", lambda self, inputs: right(self, [inputs[0] for _ in inputs]))


# Softmax ------------------------------------------------------------------------------------------


def deltas_of(kind: str, formula: Callable[[Any, Any, Any], Any]) -> Callable[[Patch], None]:
    """δ of an activation, computed from the arrays z, a and ∂L/∂a."""

    def mistake(patch: Patch) -> None:
        def deltas(_self: Any, *arguments: Numbers) -> Numbers:
            return cast("Numbers", formula(*map(np.array, arguments)).tolist())

        patch.setattr(activations.ACTIVATIONS[kind], "deltas", deltas)

    return mistake


def _slope_of_sigmoid(z: Any) -> Any:
    return np.exp(-abs(z)) / (1 + np.exp(-abs(z))) ** 2


def twice(pair: tuple[str, str], slope: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """p − t times a derivative that it already contains."""

    def mistake(patch: Patch) -> None:
        kind = type(losses.IN_ONE_STEP[pair])
        right = kind.deltas
        patch.setattr(kind, "deltas", lambda self, a, t: (np.array(right(self, a, t)) * slope(np.array(a))).tolist())

    return mistake


def sum_of_targets_forgotten(patch: Patch) -> None:
    patch.setattr(losses.SoftmaxWithCrossEntropy, "deltas", lambda _self, a, t: (np.array(a) - np.array(t)).tolist())


def only_shifted(patch: Patch) -> None:
    """z − max z in place of the logarithm of softmax."""
    patch.setattr(activations.LogSoftmax, "activate", lambda _self, z: [x - max(z) for x in z])


# Conditions of a mistake ----------------------------------------------------------------------------


def _dense(case: Case) -> list[Any]:
    return [layer for layer in case.network.layers if layer.kind == "dense"]


def several(case: Case) -> bool:
    return len(case.inputs) > 1


def mean(case: Case) -> bool:
    return several(case) and case.reduction == "mean"


def halved(case: Case) -> bool:
    return case.loss.kind == "half_squared_error"


def wide(case: Case) -> bool:
    return any(layer.units > 1 for layer in _dense(case))


def square(case: Case) -> bool:
    shapes = zip(case.network.layers, case.network.input_shapes, strict=True)
    return any(layer.kind == "dense" and layer.units == math.prod(shape) > 1 for layer, shape in shapes)


def ends_dense(case: Case) -> bool:
    return case.network.layers[-1].kind == "dense"


def not_flat(case: Case) -> bool:
    """The δ of a mean absolute error may be 0 except for rounding; its floor is then 0 or −1."""
    return case.loss.kind != "mean_absolute_error"


def bent(case: Case) -> bool:
    return case.network.layers[-1].activation != "identity"


def bent_before(case: Case) -> bool:
    return any(layer.activation != "identity" for layer in case.network.layers[:-1])


def asks(*names: str) -> Callable[[Case], bool]:
    """A dense layer has one of these activations: a convolution's is computed channel by channel, by code of its
    own.
    """

    def needs(case: Case) -> bool:
        others = {layer.activation for layer in case.network.layers if layer.kind != "dense"}
        return bool({layer.activation for layer in _dense(case)} & set(names)) and not others & set(names)

    return needs


def general_softmax(case: Case) -> bool:
    """A softmax whose δ is computed by the chain rule."""
    pair = (case.network.layers[-1].activation, case.loss.kind) == ("softmax", "cross_entropy")
    before = any(layer.activation == "softmax" for layer in _dense(case)[:-1])
    return asks("softmax")(case) and (before or not pair)


def pair_of(activation: str, loss: str) -> Callable[[Case], bool]:
    return lambda case: ends_dense(case) and (case.network.layers[-1].activation, case.loss.kind) == (activation, loss)


def together(*needs: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: all(need(case) for need in needs)


def targets_grown(case: Case) -> Case:
    """Targets that do not add up to 1."""
    return Case.from_dict({**case.to_dict(), "targets": (1.5 * np.array(case.targets)).tolist()})


def far_out(case: Case) -> Case:
    """Weights so large that powers of e overflow."""
    content = case.to_dict()
    own = content["network"]["layers"][-1]["parameters"]
    own["weights"] = (3000 * np.array(own["weights"])).tolist()
    return Case.from_dict(content)


@dataclass(frozen=True)
class Planted:
    """The code that the mistake must get, how the program is made wrong, and which cases show it (after a change).

    ``alone``: the other cases are left out, because there the mistake would be of another kind.
    """

    code: str
    mistake: Callable[[Patch], None]
    needs: Callable[[Case], bool] = bool
    changed: Callable[[Case], Case] = staticmethod(lambda case: case)  # noqa: RUF009 - of no case in particular
    alone: bool = False


_PAIR = ("softmax", "cross_entropy")
_OTHER_PAIR = ("sigmoid", "binary_cross_entropy")

MISTAKES = {
    "parameters in single precision": Planted("BP002", read_as(to_single)),
    "filled in by columns": Planted("BP008", read_as(filled_by_columns), wide),
    "filled in and written by columns": Planted("BP008", written_by_columns, wide),
    "1/N by integers": Planted("BP012", mean_by_integers, mean),
    "½ by integers": Planted("BP012", half_by_integers, halved),
    "δ by integers": Planted("BP012", floor_of_delta, together(ends_dense, not_flat), alone=True),
    "no bias": Planted("BP201", no_bias, wide),
    "the first bias": Planted("BP202", by_other_z(of_first_bias), wide),
    "no activation at the output": Planted("BP203", not_activated(output=True), together(ends_dense, bent)),
    "no activation before it": Planted("BP204", not_activated(output=False), bent_before),
    "columns of weights": Planted("BP205", by_other_z(of_columns), square),
    "read with rows for columns": Planted("BP205", read_as(rows_for_columns), square),
    "softsign for tanh": Planted("BP206", other_function("tanh", "softsign"), asks("tanh")),
    "softmax for relu": Planted("BP206", other_function("relu", "softmax"), asks("relu")),
    "tanh for nothing, forwards": Planted("BP206", tanh_for_nothing, asks("identity")),
    "softmax over samples": Planted("BP207", softmax_over_samples, together(asks("softmax"), several)),
    "softmax without a shift": Planted("BP208", softmax_unshifted, pair_of(*_PAIR), far_out),
    "the first sample's inputs": Planted("BP209", of_first_sample, several),
    "softmax: the diagonal": Planted("BP601", deltas_of("softmax", lambda _z, a, g: g * a * (1 - a)), general_softmax),
    "softmax: plus off the diagonal": Planted(
        "BP602",
        deltas_of("softmax", lambda _z, a, g: a * (g * (1 - a) + ((g * a).sum() - g * a))),
        general_softmax,
    ),
    "softmax: twice": Planted("BP603", twice(_PAIR, lambda a: a * (1 - a)), pair_of(*_PAIR)),
    "sigmoid: twice": Planted("BP603", twice(_OTHER_PAIR, lambda a: a * (1 - a)), pair_of(*_OTHER_PAIR)),
    "softmax: a sigmoid's": Planted(
        "BP604", deltas_of("softmax", lambda z, _a, g: g * _slope_of_sigmoid(z)), general_softmax
    ),
    "log softmax: the diagonal": Planted(
        "BP605", deltas_of("log_softmax", lambda _z, a, g: g * (1 - np.exp(a))), asks("log_softmax")
    ),
    "log softmax: g alone": Planted("BP605", deltas_of("log_softmax", lambda _z, _a, g: g), asks("log_softmax")),
    "log softmax: without the logarithm": Planted("BP605", only_shifted, asks("log_softmax")),
    "the sum of the targets": Planted("BP606", sum_of_targets_forgotten, pair_of(*_PAIR), targets_grown),
}

#: The mistakes that are always tested; the others are thorough.
QUICK = {
    "chain": (),
    "graph": ("filled in by columns", "the first bias"),
    "convolution": ("the first sample's inputs",),
}


def python(case: dict[str, Any]) -> dict[str, Any]:
    """The port in plain Python, with every network as a graph."""
    reply: dict[str, Any] = graph.graph_reply(case)
    return reply


python.supports = {  # type: ignore[attr-defined]
    "layers": list(graph.LAYERS),
    "activations": list(activations.ACTIVATIONS),
    "losses": list(losses.LOSSES),
    "optimizers": ["sgd"],
    "features": ["graph"],
}


@functools.cache
def pool(name: str) -> tuple[Case, ...]:
    """Cases of one kind of network, without an update: the planted mistakes show in the first pass."""
    cases: Iterable[Case] = generated_cases(300, 11) if name == "chain" else family_cases(name, 300, 11)
    training = {"optimizer", "steps", "clip", "regularization"}
    return tuple(Case.from_dict({k: v for k, v in case.to_dict().items() if k not in training}) for case in cases)


def cases_of(name: str, planted: Planted) -> list[Case]:
    """Some cases that show the mistake, and others."""
    showing = (case for case in pool(name) if planted.needs(case))
    others = (case for case in pool(name) if not planted.needs(case))
    return [
        *(planted.changed(case) for case in itertools.islice(showing, _SHOWING)),
        *itertools.islice(others, 0 if planted.alone else _OTHERS),
    ]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        pytest.param(name, label, marks=[] if label in QUICK[name] else pytest.mark.thorough)
        for name in QUICK
        for label in MISTAKES
    ],
)
def test_it_has_its_name(name: str, label: str, monkeypatch: Patch) -> None:
    """One cause, with that code, for all kinds of networks."""
    planted = MISTAKES[label]
    planted.mistake(monkeypatch)
    results = judged(python, cases_of(name, planted))
    assert [code for code, _, _ in named(results)] == [planted.code]


@pytest.mark.parametrize("name", list(QUICK))
def test_right_it_passes(name: str) -> None:
    """Without a mistake every case passes."""
    assert not judged(python, pool(name)[:20]).failed
