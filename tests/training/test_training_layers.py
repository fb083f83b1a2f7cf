"""Layers of any kind are trained: right implementations pass, a wrong optimizer is named, everything is explained."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import backprop_check
from backprop_check.api import check
from backprop_check.case.network import Case
from backprop_check.case.training import FEATURES
from backprop_check.cases.clear import ANY_LAYERS, is_clear
from backprop_check.cases.training import label, training_case
from backprop_check.cases.within import ALL_TRAINING, families
from backprop_check.compare.expected import disagreement, expect, textbook_pass
from backprop_check.diagnose.bugs.passed_back import WeightsUpdatedTooEarly
from backprop_check.diagnose.restrict import Place, only
from backprop_check.explain.bug import first_difference
from backprop_check.explain.explanation import explain_case
from backprop_check.explain.making import Found
from backprop_check.functions.names import LOSS_FEATURES
from backprop_check.kinds import FAMILIES, KINDS
from backprop_check.kinds import FEATURES as LAYER_FEATURES
from backprop_check.numbers import Scalars
from backprop_check.numbers.lanes import Lanes
from backprop_check.numbers.tables import LaneTable
from backprop_check.numbers.vectors import Vector
from backprop_check.witness.autograd import autograd_pass

PORTS = Path(backprop_check.__file__).parent / "ports"
for language in ("python", "torch"):
    sys.path.insert(0, str(PORTS / language))
activations, dense, graph, layers, losses, optimizers, torch_layers = (
    cast("Any", importlib.import_module(name))
    for name in ("activations", "dense", "graph", "layers", "losses", "optimizers", "torch_layers")
)

ALL = replace(ALL_TRAINING, layers=tuple(KINDS), features=(*FEATURES, *LAYER_FEATURES, *LOSS_FEATURES))

#: Cases 4, 9, 14, … train other layers than dense chains.
CASES = [training_case(index, 0, ALL) for index in range(4, 150, 5)]


def python(case: dict[str, Any]) -> dict[str, Any]:
    """The port in plain Python."""
    reply: dict[str, Any] = graph.graph_backprop(case)
    return reply


python.supports = {  # type: ignore[attr-defined]
    "layers": list(layers.LAYERS),
    "activations": list(activations.ACTIVATIONS),
    "losses": list(losses.LOSSES),
    "optimizers": list(optimizers.OPTIMIZERS),
    "features": optimizers.FEATURES + layers.LAYER_FEATURES,
    "batch": True,
}


def of_layers(id_: str) -> bool:
    """Whether a generated case trains other layers: its name says of which family."""
    return any(f"-{family}-" in id_ for family in FAMILIES)


def test_every_fifth_case_trains_other_layers() -> None:
    """Of every family, with every kind of optimizer, with and without each option; the other cases are unchanged."""
    found = {families(ALL)[index % 5] for index in range(len(CASES))}
    assert len(found) == 5
    assert all(case.network.families and case.trains for case in CASES)
    assert {case.optimizer.kind for case in CASES if case.optimizer} == set(ALL.optimizers)
    assert {case.clip.kind if case.clip else "" for case in CASES} == {"", "norm", "value"}
    assert {case.steps for case in CASES} == {1, 2, 3}
    assert {bool(case.regularization) for case in CASES} == {True, False}
    assert all(is_clear(case, ANY_LAYERS) for case in CASES)
    assert training_case(9, 0, ALL) == CASES[1] != training_case(9, 1, ALL)
    assert not training_case(9).network.families
    assert label(ALL_TRAINING) == "" != label(ALL)


def test_the_witnesses_agree() -> None:
    """Reference, torch, and 40 digits; every bound is finite, so that every value is judged."""
    for case in CASES[::3]:
        expected = expect(case)
        assert disagreement(expected, autograd_pass(case)) is None, case.id
        for slot, exact in textbook_pass(case, Scalars.of_mpmath(40)).values.items():
            error = np.asarray(abs(expected.values[slot] - exact), dtype=float)
            assert (error <= expected.allowed[slot]).all(), (case.id, slot)
            assert np.isfinite(expected.allowed[slot]).all(), (case.id, slot)


@pytest.mark.thorough
@pytest.mark.parametrize("port", [python, torch_layers.backprop], ids=["python", "torch in float32"])
def test_right_implementations_pass(port: Any) -> None:
    """The port in Python, and torch's own optimizers on its own float32 modules."""
    results = check(port, suites=["training"], cases=400)
    results.raise_for_mismatch()
    assert sum(of_layers(result.id) for result in results.cases) == 20


def uncorrected(self: Any, w: float, g: float, state: dict[str, float], rate: float) -> Any:
    """Adam without bias correction."""
    self.time, time = 10**9, self.time
    found = optimizers.Adam.step(self, w, g, state, rate)
    self.time = time
    return found


def braking(self: Any, g: float, state: dict[str, float]) -> Any:
    """Momentum that is subtracted."""
    self.momentum = -self.momentum
    found = optimizers.SGD.velocity(self, g, state)
    self.momentum = -self.momentum
    return found


@pytest.mark.parametrize(
    ("code", "name", "method", "wrong"),
    [("BP513", "Adam", "step", uncorrected), ("BP506", "SGD", "velocity", braking)],
)
def test_a_wrong_optimizer_has_its_name(
    code: str, name: str, method: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In dense chains and in all other layers, though AdamW is right: one cause explains both."""
    made = type(name, (getattr(optimizers, name),), {method: wrong})
    monkeypatch.setitem(optimizers.OPTIMIZERS, name.lower(), made)
    results = check(python, suites=["training"], cases=400)
    assert [cause.code for cause in results.causes] == [code]
    assert any(of_layers(id_) for id_ in results.causes[0].explains)


@pytest.mark.thorough
def test_what_only_other_layers_get_wrong_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense chains have code of their own, which is right."""
    monkeypatch.setattr(graph.Graph, "update", lambda *_: None)
    results = check(python, suites=["training"], cases=200)
    assert [cause.code for cause in results.causes] == ["BP520"]
    assert all(of_layers(id_) or id_.startswith("layers-") for id_ in results.causes[0].explains)


def late_dense() -> Any:
    """A dense layer that updates its weights before it propagates the error back through them."""

    def backward_from_z(self: Any, delta: Any) -> Any:
        back = dense.Dense.backward_from_z(self, delta)
        right = [(n.weights, n.weight_gradients, n.bias_gradient) for n in self.neurons]
        for n in self.neurons:
            n.weights = [w - self.rate * g for w, g in zip(n.weights, n.weight_gradients, strict=True)]
        if self.rate:
            back = [layer.backward(row) for layer, row in zip(self.samples, delta, strict=True)]
        for n, own in zip(self.neurons, right, strict=True):
            n.weights, n.weight_gradients, n.bias_gradient = own
        return back

    return type("Late", (dense.Dense,), {"backward_from_z": backward_from_z})


def test_weights_that_are_updated_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake of Mazur's page, in the dense layers of a convolutional network: where, and with its numbers."""
    late = late_dense()
    monkeypatch.setitem(layers.LAYERS, "dense", late)

    def port(case: dict[str, Any]) -> dict[str, Any]:
        late.rate = case["optimizer"]["learning_rate"] if "optimizer" in case else 0.0
        return python(case)

    port.supports = python.supports  # type: ignore[attr-defined]
    results = check(port, suites=["convolution"], cases=160)
    (cause,) = results.causes
    assert (cause.code, cause.scope) == ("BP107", "in dense layers only")
    case = next(result.case for result in results.failed if result.case)
    stages = only(WeightsUpdatedTooEarly, Place(kind="dense"))
    pair = first_difference(Case.from_dict(dict(case)), stages)
    assert pair is not None
    assert pair[0].value != pair[1].value
    assert "·(w" in pair[1].symbolic


@pytest.mark.thorough
def test_it_is_explained() -> None:
    """Every update is explained, with the values of the pass, and the optimizer's state."""
    for case in CASES[:10]:
        told = {
            (step.quantity, step.layer, step.round, *step.at): step.value
            for step in explain_case(Found(case), everything=True).steps
            if step.quantity
        }
        for slot, value in textbook_pass(case).values.items():
            if slot.quantity.startswith("updated") and slot.step is not None:
                keys = {(slot.quantity, slot.layer, slot.step, *at): at for at in np.ndindex(value.shape)}
                for key in keys.keys() & told.keys():  # of many similar ones some are explained
                    assert told[key] == pytest.approx(value[keys[key]], rel=1e-9), case.id
        assert any(str(quantity).startswith("updated") for quantity, *_ in told), case.id
    adam = next(case for case in CASES if case.optimizer and case.optimizer.kind == "adam")
    symbols = {step.symbol for step in explain_case(Found(adam), everything=True).steps if step.stage == "memory"}
    assert {"m⁺", "v⁺"} <= symbols


def test_a_bound_that_is_no_number_spoils_no_other() -> None:
    """Next to a NaN, a divisor that may be 0 still has no bound, and a branch that rounding decides is not certain."""
    m = Lanes(2.0**-24)
    bounds = np.array([[np.nan, 2.0, 0.5]])
    row = LaneTable(np.array([[1.0, 1.0, 1.0]]), bounds, m.u)
    with np.errstate(all="ignore"):
        inverse = (1 / row[0, 0]).error[0]
    assert not np.isfinite(inverse[:2]).any()
    assert inverse[2] > 0
    assert not (inverse < 0).any()
    taken = m.where_positive(row[0, 0], m.setting(1.0), m.setting(0.0)).error[0]
    assert taken[0] >= 1
    assert taken[1] >= 1
    assert taken[2] == 0
    won = m.winners(Vector(np.array([[[3.0, 2.0, 0.0]]]), np.array([[[0.1, np.nan, 0.1]]]), m.u)).error[0, 0]
    assert won[:2].tolist() == [1.0, 1.0]
