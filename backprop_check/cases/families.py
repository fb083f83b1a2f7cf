"""The suites of layers other than dense chains, one per family of kinds: ``convolution``, ``recurrent``, …

A kind draws itself (``Kind.draw``). Here it is placed between other layers, so that its input is the output of another
layer and its gradient comes from a later one. The kinds of a family take turns, and so do activations, losses,
reductions and batch sizes. The family ``graph`` tests how layers are connected; ``graphs`` draws its cases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.case.network import Case, Network
from backprop_check.cases import graphs
from backprop_check.cases.clear import ANY_LAYERS
from backprop_check.cases.draw import REDUCTIONS, Draw, dense, layer_of, loss_of, output_of, own_slopes, target_of
from backprop_check.cases.generate import tried
from backprop_check.cases.within import ALL, Within, drawable, kinds_of
from backprop_check.errors import CaseError, NothingToDrawError
from backprop_check.functions.activations import ELEMENTWISE
from backprop_check.kinds import KINDS
from backprop_check.kinds.kind import Ending, nested, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.kinds import Kind, Shape

#: Increased whenever the same (family, seed, index) would give another case.
FAMILY_VERSION = 1

_ATTEMPTS = 300

#: Losses that suit any output, so that a layer of any kind can be the last of a network.
_SQUARED = ("half_squared_error", "squared_error", "mean_squared_error")


def family_case(family: str, index: int, seed: int = 0, within: Within = ALL) -> Case:
    """Case ``index`` of a family's suite, for an implementation that supports ``within``.

    Where no layer of the kind whose turn it is can be drawn, the next kind is used. Raises ``NothingToDrawError`` where
    that fails for every kind (``drawable`` tells beforehand).
    """
    kinds, able = kinds_of(family, within), drawable(family, within)
    round_number, turn = divmod(index + seed, max(1, len(kinds)))
    key = f"{family}:{FAMILY_VERSION}:{seed}:{index}:{label(family, within)}"
    for kind in (*kinds[turn:], *kinds[:turn]):
        if kind in able:
            case, _ = tried(key, _Turn(family, kind, index, round_number, within).candidate, _ATTEMPTS, ANY_LAYERS)
            if case is not None:
                return case
    cause = f"no case of the suite {family} can be generated from what the implementation claims to support"
    raise NothingToDrawError("nothing-to-draw", cause)


def family_cases(family: str, count: int, seed: int = 0, start: int = 0, within: Within = ALL) -> Iterator[Case]:
    """Cases ``start`` to ``start + count − 1`` of a family; none where nothing of it is supported."""
    able = bool(drawable(family, within))
    return (family_case(family, index, seed, within) for index in range(start, start + count * able))


def label(family: str, within: Within) -> str:
    """What of ``within`` the cases depend on, as text; empty for the complete suite."""
    if not within.claimed:
        return ""
    kinds = ",".join(kind.__name__ for kind in kinds_of(family, within))
    known = (within.activations, within.losses, within.features)
    return (
        f"{kinds}:" + ":".join(",".join(sorted(each)) for each in known) + f":{int(within.batch)}{int(within.updates)}"
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    """The kind whose turn it is in a suite, and the number of rounds in which all kinds have had their turn."""

    family: str
    kind: type[Kind]
    number: int
    round_number: int
    within: Within

    def candidate(self, draw: Draw, attempt: int) -> Case | None:
        """A network with a layer of this kind; None where it is not ``within``."""
        alone = attempt >= _ATTEMPTS // 2  # perhaps no layer fits before it
        if self.family == "graph":
            case = graphs.candidate(draw, self.number, self.within)
        else:
            case = _candidate(draw, replace(self, round_number=0) if alone else self)
        return case if self.within.has(case) else None


def _candidate(draw: Draw, turn: _Turn) -> Case:
    """A network with a layer of the kind: after another one of its family if possible, before a dense one."""
    samples = draw.one_of((1, 1, 2, 3, 4)) if turn.within.batch else 1
    first = draw.one_of(kinds_of(turn.family, turn.within)) if turn.round_number % 3 == 1 else turn.kind
    inputs: Shape = first.draw_inputs(draw)
    layers = _layers(draw, first, inputs, samples, turn)
    end = _end(draw, _made_of(inputs, layers), turn)
    layers += end.layers
    own_slopes(draw, layers)
    updates = turn.within.updates and turn.round_number % 2
    return Case.from_dict(
        {
            "name": f"{turn.family}-{str(turn.kind.__struct_config__.tag).replace('_', '-')}-s{turn.number:04d}",
            "network": {"inputs": list(inputs), "layers": layers},
            "loss": end.loss,
            "reduction": REDUCTIONS[turn.number // 3 % 2],
            "targets": [end.target() for _ in range(samples)],
            "inputs": [first.draw_sample(draw, inputs) for _ in range(samples)],
            **({"optimizer": {"kind": "sgd", "learning_rate": 0.05}, "steps": 1} if updates else {}),
        }
    )


def _layers(draw: Draw, first: type[Kind], inputs: Shape, samples: int, turn: _Turn) -> list[dict[str, Any]]:
    """A layer of the kind, perhaps after a layer of the kind ``first``, or after the layers that it reads."""
    layers: list[dict[str, Any]] = []
    shape, kind = inputs, turn.kind
    if turn.round_number % 3 == 1:
        layer, shape = layer_of(draw, first, inputs, samples)
        layers.append(layer)
    elif turn.round_number % 3:  # the gradient with respect to its input then shows in the layer before it
        layers, shape = _alike(draw, turn, inputs, samples)
    wired = turn.round_number % 2 == 0 and "graph" in turn.within.features
    several = kind.draw_wired(draw, shape, samples) if wired else None  # it may read several things
    if several is not None and _knows(turn.within, several):
        layers += several
    else:
        layers.append(layer_of(draw, kind, shape, samples)[0])
    for layer in layers:
        _keep_within(draw, layer, turn.within)
    return layers


def _end(draw: Draw, shape: Shape, turn: _Turn) -> Ending:
    """The last layers and the loss: a dense layer, or none, or what only this family has (``Kind.draw_end``)."""
    within = turn.within
    own = not within.has_chains()  # no dense layer may follow
    pairs = [("identity", loss) for loss in within.any_output()] if own else within.pairs()
    activation, loss = pairs[(turn.number * 37) % len(pairs)]
    if turn.round_number % 4 == 2:  # noqa: PLR2004 - now and then
        end = turn.kind.draw_end(draw, shape, within.losses, within.features)
        if end is not None and _knows(within, end.layers):
            return end
    layers = []
    if own or turn.round_number % 4 == 3:  # noqa: PLR2004 - now and then its own output is the network's
        loss = draw.one_of([name for name in _SQUARED if name in within.losses] or [loss])
        activation = "identity"
    else:
        units = draw.whole(2, 3)
        layers.append(dense(draw, size(shape), units, activation))
        shape = (units,)
    return Ending(layers, loss_of(loss, 0.8), lambda: nested(target_of(draw, activation, loss, size(shape)), shape))


def _alike(draw: Draw, turn: _Turn, inputs: Shape, samples: int) -> tuple[list[dict[str, Any]], Shape]:
    """A layer before that of the kind, of a kind whose inputs are drawn by the same function, and its output; or
    none.
    """
    alike = [each for each in kinds_of(turn.family, turn.within) if _inputs_of(each) is _inputs_of(turn.kind)]
    start = draw.whole(0, len(alike) - 1)
    drawn = (each.draw(draw, inputs, samples) for each in alike[start:] + alike[:start])
    layer = next(filter(None, drawn), None)
    return ([], inputs) if layer is None else ([layer], output_of(layer, inputs))


def _inputs_of(kind: type[Kind]) -> Any:
    return getattr(kind.draw_inputs, "__func__", None)


def _keep_within(draw: Draw, layer: dict[str, Any], within: Within) -> None:
    """Replace an activation that is not supported by one that is. Raises ``CaseError`` where there is none."""
    if not KINDS[layer["kind"]].activations or layer.get("activation", "identity") in within.activations:
        return
    known = [name for name in ELEMENTWISE if name in within.activations]
    if not known:
        raise CaseError("$.network", f"an activation for {layer['kind']}", "none that is supported")
    layer["activation"] = draw.one_of(known)


def _knows(within: Within, layers: list[dict[str, Any]]) -> bool:
    """Whether an implementation supports the kinds and activations of some layers."""
    return {layer["kind"] for layer in layers} <= set(within.layers) and {
        layer.get("activation", "identity") for layer in layers
    } <= {*within.activations, "identity"}


def _made_of(inputs: Shape, layers: list[dict[str, Any]]) -> Shape:
    """The shape of the output of the last of some layers."""
    network = msgspec.convert({"inputs": list(inputs), "layers": layers}, Network)
    return network.output_shapes[-1]
