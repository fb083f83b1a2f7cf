"""The suites of layers beyond the dense chain, one a family of kinds: ``convolution``, ``recurrent``, …

Case i of a family depends on (suite version, family, seed, i, what is supported) and on nothing else. A kind draws
itself (``Kind.draw``); here it is set among other layers, so that its own input is another layer's output and its
gradient comes from behind. The kinds of a family take turns, and so do activations, losses, reductions and batches. No
number sits on a kink, no maximum on a tie.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.cases.generate import CLEAR, LARGEST, PAIRS, POLE, Draw, Within, slope_of, target_of
from backprop_check.errors import CaseError, NothingToDrawError
from backprop_check.kinds import FAMILIES, KINDS
from backprop_check.kinds.kind import Ending, nested, size
from backprop_check.names import ACTIVATIONS, ALL_LOSSES, DEFAULT_ALPHA, LOSS_FEATURES, NEEDS_OUTPUT
from backprop_check.network import Case, Network
from backprop_check.numbers.wired import WiredGrid, WiredLanes
from backprop_check.reference.activations import ELEMENTWISE
from backprop_check.reference.circuit import Function, Largest
from backprop_check.reference.wired import run_wired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.kinds import Kind, Shape
    from backprop_check.reference.wired import WiredPass

#: Raised whenever the same (family, seed, i) would give another case.
WIRED_VERSION = 1

#: No error bound is larger, in double precision: of what is worse conditioned single precision could say nothing.
LOOSE = 2.0**20 * 2.0**-53

_ATTEMPTS = 300

#: Families that are not about kinds of layers: the module whose ``candidate`` draws one case.
MADE_BY = {"graph": "backprop_check.cases.graphs"}

#: Losses that suit any output: with the first of them a layer of any kind can be a network's last.
_SQUARED = ("half_squared_error", "squared_error", "mean_squared_error")

__all__ = ["FAMILIES", "WIRED_VERSION", "drawable", "is_clear", "kinds_of", "label", "wired_case", "wired_cases"]


def kinds_of(family: str, within: Within | None) -> list[type[Kind]]:
    """The kinds of a family that an implementation supports (None: all); in a graph there may be any."""
    if family == "graph":
        able = within is None or "graph" in within.features
        return [kind for name, kind in KINDS.items() if able and (within is None or _sent(name, kind, within))]
    return [
        kind for name, kind in KINDS.items() if kind.family == family and (within is None or _sent(name, kind, within))
    ]


def _sent(name: str, kind: type[Kind], within: Within) -> bool:
    return name in within.layers and _able(kind, within)


def _able(kind: type[Kind], within: Within) -> bool:
    return set(kind.needs) <= set(within.features)


def drawable(family: str, within: Within | None) -> list[type[Kind]]:
    """The kinds of a family of which cases can be generated that keep ``within``: those that ``wired_case`` draws.

    A layer's activation has to be supported, and so has the network's end: a dense layer with a pair of activation and
    loss, or (for all families but the graphs, whose layers are mostly dense) a loss that suits the layer's own output.
    """
    kinds = kinds_of(family, within)
    if within is None:
        return kinds
    if family == "graph":
        able = within.has_chains() and any(name in within.activations for name in ACTIVATIONS if name != "log_softmax")
        return kinds if able else []
    ends = within.has_chains() or _suits_any(within)
    return [kind for kind in kinds if ends and _has_activation(kind, within)]


def _has_activation(kind: type[Kind], within: Within) -> bool:
    """Whether a generated layer of this kind can have an activation that is supported, or has none."""
    possible = {*kind.drawn_activations, *(name for name in ELEMENTWISE if name in kind.activations)}
    return not kind.activations or not possible.isdisjoint(within.activations)


def _suits_any(within: Within) -> list[str]:
    """The supported losses that suit any layer's output."""
    return [loss for loss in within.losses if loss not in NEEDS_OUTPUT]


def wired_case(family: str, index: int, seed: int = 0, within: Within | None = None) -> Case:
    """Case ``index`` of a family's suite, for an implementation that supports what is ``within`` (None: all).

    Where none of the kind whose turn it is can be drawn, the next kind takes its turn. Raises ``NothingToDrawError``
    where that holds for every kind (``drawable`` says so beforehand).
    """
    kinds, able = kinds_of(family, within), drawable(family, within)
    turn, round_number = (index + seed) % len(kinds) if kinds else 0, (index + seed) // max(1, len(kinds))
    for kind in (*kinds[turn:], *kinds[:turn]):
        if kind in able:
            case = _case_of(family, kind, index, seed, round_number, within)
            if case is not None:
                return case
    msg = f"no case of the suite {family} can be generated from what the implementation claims to support"
    raise NothingToDrawError(msg)


def _case_of(
    family: str, kind: type[Kind], index: int, seed: int, round_number: int, within: Within | None
) -> Case | None:
    """The first one drawn that is clear, else the last one drawn; None where none keeps ``within``."""
    key = f"{family}:{WIRED_VERSION}:{seed}:{index}:{label(family, within)}"
    found = None
    for attempt in range(_ATTEMPTS):
        draw = Draw(f"{key}:{attempt}")
        alone = attempt >= _ATTEMPTS // 2  # it may be that nothing can stand before it
        try:
            case: Case = (
                importlib.import_module(MADE_BY[family]).candidate(draw, index, within)
                if family in MADE_BY
                else _candidate(draw, family, kind, index, 0 if alone else round_number, within)
            )
        except CaseError:  # what was drawn does not fit together: draw again
            continue
        if within is not None and not within.has(case):
            continue
        if is_clear(case):
            return case
        found = case
    return found


def wired_cases(family: str, count: int, seed: int = 0, start: int = 0, within: Within | None = None) -> Iterator[Case]:
    """Cases ``start`` to ``start + count − 1`` of a family; none where nothing of it is supported."""
    able = bool(drawable(family, within))
    return (wired_case(family, index, seed, within) for index in range(start, start + count * able))


def label(family: str, within: Within | None) -> str:
    """What makes an implementation's cases different from another's; empty where everything is supported."""
    if within is None:
        return ""
    kinds = ",".join(kind.__name__ for kind in kinds_of(family, within))
    known = (within.activations, within.losses, within.features)
    return (
        f"{kinds}:" + ":".join(",".join(sorted(each)) for each in known) + f":{int(within.batch)}{int(within.updates)}"
    )


def _candidate(draw: Draw, family: str, kind: type[Kind], index: int, round_number: int, within: Within | None) -> Case:
    """A network with a layer of ``kind``: behind another one of its family where that can be, before a dense one."""
    samples = 1 if within is not None and not within.batch else draw.one_of((1, 1, 2, 3, 4))
    first = draw.one_of(kinds_of(family, within)) if round_number % 3 == 1 else kind
    inputs: Shape = first.draw_inputs(draw)
    layers = _layers(draw, family, (first, kind), inputs, samples, round_number, within)
    end = _end(draw, kind, _made_of(inputs, layers), index, round_number, within)
    layers += end.layers
    own_slopes(draw, layers)
    updates = (within is None or within.updates) and round_number % 2
    return Case.from_dict(
        {
            "name": f"{family}-{str(kind.__struct_config__.tag).replace('_', '-')}-s{index:04d}",
            "network": {"inputs": list(inputs), "layers": layers},
            "loss": end.loss,
            "reduction": ("mean", "sum")[index // 3 % 2],
            "targets": [end.target() for _ in range(samples)],
            "inputs": [first.draw_sample(draw, inputs) for _ in range(samples)],
            **({"optimizer": {"kind": "sgd", "learning_rate": 0.05}, "steps": 1} if updates else {}),
        }
    )


def _layers(
    draw: Draw,
    family: str,
    kinds: tuple[type[Kind], type[Kind]],
    inputs: Shape,
    samples: int,
    round_number: int,
    within: Within | None,
) -> list[dict[str, Any]]:
    """A layer of the second kind, perhaps behind one of the first kind, or behind what it needs to read."""
    first, kind = kinds
    shape, layers = inputs, []
    if round_number % 3 == 1:
        layers.append(_drawn(first, draw, shape, samples))
        shape = _output(layers[-1], shape)
    elif round_number % 3:  # so that what flows back into its input shows
        drawn = _first(draw, kinds_of(family, within), kind, shape, samples)
        if drawn is not None:
            layers.append(drawn)
            shape = _output(drawn, shape)
    wired = round_number % 2 == 0 and (within is None or "graph" in within.features)
    several = kind.draw_wired(draw, shape, samples) if wired else None  # it may read several things
    if several is not None and _knows(within, several):
        layers += several
    else:
        layers.append(_drawn(kind, draw, shape, samples))
    for layer in layers:
        _keep_within(draw, layer, within)
    return layers


def _end(draw: Draw, kind: type[Kind], shape: Shape, index: int, round_number: int, within: Within | None) -> Ending:
    """What comes last: a dense layer; or nothing more; or an end that its family alone has."""
    pairs = [pair for pair in PAIRS if within is None or {pair[0]} <= set(within.activations)]
    pairs = [pair for pair in pairs if within is None or pair[1] in within.losses]
    own = within is not None and not within.has_chains()  # no dense layer may stand behind it
    if within is not None and own:
        pairs = [("identity", loss) for loss in _suits_any(within)]
    activation, loss = pairs[(index * 37) % len(pairs)]
    if round_number % 4 == 2:  # noqa: PLR2004 - now and then
        able = (ALL_LOSSES, LOSS_FEATURES) if within is None else (within.losses, within.features)
        end = kind.draw_end(draw, shape, *able)
        if end is not None and _knows(within, end.layers):
            return end
    layers = []
    if own or round_number % 4 == 3:  # noqa: PLR2004 - now and then its own output is the network's
        loss = draw.one_of([name for name in _SQUARED if within is None or name in within.losses] or [loss])
        activation = "identity"
    else:
        units = draw.whole(2, 3)
        layers.append(dense(draw, size(shape), units, activation))
        shape = (units,)
    whole = {"kind": loss, **({"threshold": 0.8} if loss == "huber" else {})}
    return Ending(layers, whole, lambda: nested(target_of(draw, activation, loss, size(shape)), shape))


def _first(draw: Draw, kinds: list[type[Kind]], kind: type[Kind], shape: Shape, samples: int) -> dict[str, Any] | None:
    """A layer to stand before one of ``kind``: of a kind that draws its inputs alike; None where there is none."""
    alike = [each for each in kinds if _inputs_of(each) is _inputs_of(kind)]
    start = draw.whole(0, len(alike) - 1)
    for each in alike[start:] + alike[:start]:
        drawn = each.draw(draw, shape, samples)
        if drawn is not None:
            return drawn
    return None


def _inputs_of(kind: type[Kind]) -> Any:
    return getattr(kind.draw_inputs, "__func__", None)


def _drawn(kind: type[Kind], draw: Draw, shape: Shape, samples: int) -> dict[str, Any]:
    drawn = kind.draw(draw, shape, samples)
    if drawn is None:
        raise CaseError("$.network", f"an input that suits {kind.__name__}", str(shape))
    return drawn


def _keep_within(draw: Draw, layer: dict[str, Any], within: Within | None) -> None:
    """Put an activation that is supported in the place of one that is not."""
    has_one = bool(KINDS[layer["kind"]].activations)
    if within is None or not has_one or layer.get("activation", "identity") in within.activations:
        return
    known = [name for name in ELEMENTWISE if name in within.activations]
    if not known:
        raise CaseError("$.network", f"an activation for {layer['kind']}", "none that is supported")
    layer["activation"] = draw.one_of(known)


def own_slopes(draw: Draw, layers: list[dict[str, Any]]) -> None:
    """Give some of the activations that have an α one of their own."""
    for layer in layers:
        if layer.get("activation") in DEFAULT_ALPHA and "alpha" not in layer and draw.whole(0, 1):
            layer["alpha"] = slope_of(draw, layer["activation"])


def _output(layer: dict[str, Any], shape: Shape) -> Shape:
    """The shape of a drawn layer's output; raises ``CaseError`` where it does not fit."""
    made: Kind = msgspec.convert(layer, KINDS[layer["kind"]])
    made.check("$", shape)
    return made.output_shape(shape)


def _knows(within: Within | None, layers: list[dict[str, Any]]) -> bool:
    """Whether an implementation supports the kinds and activations of some layers."""
    return within is None or (
        {layer["kind"] for layer in layers} <= set(within.layers)
        and {layer.get("activation", "identity") for layer in layers} <= {*within.activations, "identity"}
    )


def _made_of(inputs: Shape, layers: list[dict[str, Any]]) -> Shape:
    """The shape of what the last of some layers gives."""
    network = msgspec.convert({"inputs": list(inputs), "layers": layers}, Network)
    return network.output_shapes[-1]


def dense(draw: Draw, fan_in: int, units: int, activation: str) -> dict[str, Any]:
    """A dense layer of few digits."""
    bound = 1.6 / fan_in**0.5
    return {
        "kind": "dense",
        "units": units,
        "activation": activation,
        "parameters": {
            "weights": [[draw.number(bound) for _ in range(fan_in)] for _ in range(units)],
            "biases": [draw.number(0.5) for _ in range(units)],
        },
    }


def is_clear(case: Case, clear: float = CLEAR) -> bool:
    """Whether every number keeps clear of kinks, ties and poles, and none is large."""
    with np.errstate(all="ignore"):
        passes = run_wired(case, WiredLanes(2.0**-53))
        return all(_pass_is_clear(case, p, clear) for p in passes)


def _pass_is_clear(case: Case, p: WiredPass, clear: float) -> bool:
    for table in p.circuit.tables:
        rule, values = table.made_by, table.values.value
        if not np.isfinite(values).all() or abs(values).max(initial=0.0) > LARGEST:
            return False
        if max(np.max(table.values.error, initial=0.0), np.max(table.error.error, initial=0.0)) > LOOSE:
            return False
        if isinstance(rule, Function):
            x = rule.x.values.value
            flows = table.error.value != 0  # where nothing flows back the slope does not matter
            if any(((abs(x - kink) < clear) & flows).any() for kink in rule.function.kinks):
                return False
        if isinstance(rule, Largest):
            ordered = np.sort(_candidates(rule), axis=-1)
            if ordered.shape[-1] > 1:
                tied = ordered[..., -1] - ordered[..., -2] < clear
                if (tied & ~_flat(p.circuit.m, rule, ordered[..., -1], clear)).any():
                    return False
    a, t = p.layers[-1].output.a.values.value, np.array(case.targets)
    kind = case.loss.kind
    if kind == "mean_absolute_error":
        return bool((abs(a - t) >= clear).all())
    if kind == "huber":
        return bool((abs(abs(a - t) - p.threshold) >= clear).all())
    if kind == "hinge":
        return bool((abs(1 - t * a) >= clear).all())
    if kind in ("binary_cross_entropy", "cross_entropy"):
        return bool((a > POLE).all() and (kind == "cross_entropy" or (a < 1 - POLE).all()))
    return True


def _candidates(rule: Largest) -> Any:
    read: Any = rule.x.values[..., rule.wiring.reads]
    return read.value if read.mask is None else np.where(read.mask, read.value, -np.inf)


def _flat(m: WiredLanes, rule: Largest, largest: Any, clear: float) -> Any:
    """Where a tie decides nothing: all that are nearly largest are where their activation is flat, as of dead ReLUs."""
    made = rule.x.made_by
    if not isinstance(made, Function):
        return np.zeros(largest.shape, dtype=bool)
    slope = WiredGrid(np.broadcast_to(made.slope(m, 0, 0).value, rule.x.values.value.shape), 0.0, 0.0)
    near = _candidates(rule) > largest[..., None] - clear
    return ~(near & (slope[..., rule.wiring.reads].value != 0)).any(axis=-1)
