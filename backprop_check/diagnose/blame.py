"""Blame: which values are wrong given their own inputs (roots), and which only follow from others (inherited).

Each stage is computed from the inputs that the implementation itself reported, with the bound of
that one stage. A value that differs from the reference but is right given its inputs is *inherited*; a value that is
wrong given its inputs is a *root*. If an input was not reported, the origin is *unknown*. For one sample,
δ and a can often be recovered from gradients alone, since ∂L/∂b = δ and ∂L/∂w = δ aᵀ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from backprop_check.compare.compare import KEPT, Mismatch, value_mismatch
from backprop_check.compare.trace import Array, Expected, Slot, parameter_of, place_of
from backprop_check.diagnose.kinks import local_of
from backprop_check.kinds.dense import Dense

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop_check.case.network import Case
    from backprop_check.diagnose.given import Local

#: The relative tolerance of the test for a rank-one gradient: far above rounding errors, far below a bug.
_RANK_ONE = 1e-9


def blame(
    case: Case,
    expected: Expected,
    actual: Mapping[Slot, Array],
    mismatches: list[Mismatch],
    dtype: str,
    profile: str,
) -> list[Mismatch]:
    """The mismatches with their origin, roots and unknown origins first, each group in the order of computation.

    Where an input was not reported, the error may begin at the value itself, so it is sorted among the roots. Roots
    beyond the mismatches that were kept are added. Wrong values that can be recovered from gradients are added last,
    because they were not reported; the gradients that they follow from are the roots.
    """
    recovered = {slot: array for slot, array in recover(case, actual).items() if slot not in actual}
    known = {**recovered, **actual}
    local = local_of(case, known, dtype, profile, "any" if expected.free else "pytorch")
    order = {slot: position for position, slot in enumerate(expected.values)}
    found = list(mismatches)
    for slot, array in recovered.items():
        with np.errstate(invalid="ignore", over="ignore"):
            wrong = expected.wrong(slot, array, expected.allowed[slot] + _RANK_ONE * abs(array))
        found += [_recovered(slot, tuple(at), expected, array) for at in np.argwhere(wrong)[:20]]
    if len(found) >= KEPT:
        found += _more_roots(expected, actual, local.fits, {_key(each) for each in found})
    blamed = [msgspec.structs.replace(each, origin=_origin(case, each, known, local)) for each in found]
    blamed = _rooted_in_gradients(blamed)
    last = len(order)

    def rank(each: Mismatch) -> tuple[bool, bool, int]:
        at = order.get(Slot(each.quantity, each.layer, each.step), last)
        return each.problem == "recovered", each.origin == "inherited", at

    return sorted(blamed, key=rank)


def _origin(case: Case, each: Mismatch, known: Mapping[Slot, Array], local: Local) -> str:
    slot = Slot(each.quantity, each.layer, each.step)
    at = place_in(slot, each)
    if slot not in known or at is None or each.problem == "not_a_number":
        return "root"  # missing, of the wrong shape, or not a number: no other value explains that
    if local.fits(slot, known[slot])[at]:
        return "inherited"
    return "root" if _inputs(case, slot) <= set(known) else "unknown"


def _rooted_in_gradients(blamed: list[Mismatch]) -> list[Mismatch]:
    """Where a recovered value would be a root, the gradients that it was recovered from are; the value follows
    from them.
    """
    # δ of a layer is recovered from that layer's gradients, an activation from those of the layer that reads it.
    layers = {
        (each.layer or 0) + (each.quantity == "a")
        for each in blamed
        if each.problem == "recovered" and each.origin != "inherited"
    }
    gradients = ("weight_gradient", "bias_gradient")
    found = []
    for each in blamed:
        origin = each.origin
        if each.problem == "recovered":
            origin = "inherited"
        elif each.quantity in gradients and each.layer in layers and each.problem == "wrong":
            origin = "root"
        found.append(msgspec.structs.replace(each, origin=origin))
    return found


def origins(
    case: Case, actual: Mapping[Slot, Array], recovered: Mapping[Slot, Array], dtype: str, profile: str
) -> dict[Slot, Array]:
    """For every reported or recovered value the origin that it would have if it were wrong: r (root), u or i.

    It agrees with ``blame``, and serves the values of a long list that have no mismatch of their own.
    """
    known = {**recovered, **actual}
    local = local_of(case, known, dtype, profile)
    found = {}
    for slot, array in known.items():
        own = "r" if _inputs(case, slot) <= set(known) else "u"
        found[slot] = np.where(local.fits(slot, array), "i", own)
    return found


def place_in(slot: Slot, mismatch: Mismatch) -> tuple[int, ...] | None:
    """The place of a mismatch in the slot's array; None where it concerns the whole array."""
    if mismatch.problem in ("missing", "extra", "shape") or slot.quantity != mismatch.quantity:
        return None
    found = place_of(mismatch)
    at = tuple(i for i in found if i is not None)
    return at if len(at) == len(found) else None


def _key(each: Mismatch) -> tuple[object, ...]:
    return each.quantity, each.layer, each.step, each.sample, each.neuron, tuple(each.index)


def _more_roots(expected: Expected, actual: Mapping[Slot, Array], fits: object, have: set[object]) -> list[Mismatch]:
    """The first roots of every array, which a long list of inherited values may have crowded out."""
    assert callable(fits)
    found = []
    for slot, array in actual.items():
        wrong = expected.wrong(slot, array) & ~fits(slot, array)
        for at in np.argwhere(wrong)[:10]:
            each = value_mismatch(slot, tuple(at), expected.values[slot], array, expected.reach(slot, array))
            if _key(each) not in have:
                found.append(each)
    return found


def _recovered(slot: Slot, at: tuple[int, ...], expected: Expected, array: Array) -> Mismatch:
    each = value_mismatch(slot, at, expected.values[slot], array, expected.reach(slot, array))
    return msgspec.structs.replace(each, problem="recovered")


def _inputs(case: Case, slot: Slot) -> set[Slot]:
    """The slots that the stage of ``slot`` reads, apart from the case itself."""
    network, (quantity, layer, step) = case.network, slot
    layers = range(len(network.layers))
    read_by = {source: [at for at in layers if source in network.sources[at]] for source in (-1, *layers)}

    def outputs(at: int) -> set[Slot]:
        return {Slot("a", source) for source in network.sources[at] if source >= 0}

    def own(at: int) -> set[Slot]:
        """What the layer computes on the way and reports."""
        return {Slot(each, at) for each in network.layers[at].reported}

    def inside(at: int) -> set[Slot]:
        """What a layer's slopes depend on; the slopes of a plain weighted sum are its weights, so on nothing."""
        plain = network.layers[at].one_sum and network.layers[at].combine != "multiply"
        return set() if plain else outputs(at) | own(at)

    def behind(source: int) -> set[Slot]:
        """What the error of a layer's output (or of the input) is computed from."""
        return {Slot("delta", at) for at in read_by[source]}.union(*map(inside, read_by[source]))

    match quantity:
        case "a" if layer is not None and "z" in network.layers[layer].reported:
            return {Slot("z", layer)}
        case "z" | "a":
            return outputs(layer or 0)
        case "loss":
            return own(layers[-1]) if not step else set()
        case "delta":
            assert layer is not None
            return own(layer) | (behind(layer) if read_by[layer] else set())
        case "input_gradient":
            return behind(-1)
        case name if name.endswith("_gradient"):
            assert layer is not None
            users = [at for at in layers if network.owner(at) == layer]
            read = set() if name.startswith("bias") else set().union(*map(outputs, users))
            return {Slot("delta", at) for at in users}.union(read, *map(inside, users))
        case name if name.endswith("_buffer") and not step and case.steps == 1:
            return outputs(layer or 0)
        case name if name.startswith("updated_") and not step and case.steps == 1:
            return {Slot(f"{parameter_of(name)}_gradient", layer)}
        case _:
            return set()


def recover(case: Case, actual: Mapping[Slot, Array]) -> dict[Slot, Array]:
    """δ and a from the gradients of one sample in a dense layer: ∂L/∂b = δ, and ∂L/∂w = δ aᵀ where it has rank one.

    Returns arrays of shape [1, unit] by slot; none for a batch of several samples or a loss with a penalty.
    """
    network = case.network
    if len(case.inputs) != 1 or case.regularization is not None:  # with a penalty the gradient is not δ aᵀ
        return {}
    shared = {network.owner(index) for index, layer in enumerate(network.layers) if layer.shares}
    found: dict[Slot, Array] = {}
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, Dense) or layer.shares or index in shared or len(network.sources[index]) > 1:
            continue
        (source,) = network.sources[index]
        weights, biases = actual.get(Slot("weight_gradient", index)), actual.get(Slot("bias_gradient", index))
        if weights is None or biases is None or not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            continue
        largest = int(np.argmax(abs(biases)))
        if biases[largest] == 0:
            continue
        with np.errstate(invalid="ignore", over="ignore"):  # a product that overflows is not δ aᵀ
            inputs = weights[largest] / biases[largest]
            products = np.outer(biases, inputs)
            alike = np.allclose(weights, products, rtol=_RANK_ONE, atol=_RANK_ONE * abs(weights).max())
        if not alike:
            continue
        if source < 0 and not np.allclose(inputs, case.inputs[0], rtol=_RANK_ONE, atol=_RANK_ONE):
            continue  # the bias gradient is not δ
        found[Slot("delta", index)] = biases[None, :]
        if source >= 0:
            found[Slot("a", source)] = inputs[None, :]
    return found
