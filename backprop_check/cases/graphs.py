"""The suite ``graph``: dense layers connected freely, sometimes with layers of another kind among them.

Each case has one of a few common forms: a skip connection, dense connections (every layer reads all before it, concat),
a gate (multiply), an output read by many, a layer used several times (shares), single neurons connected at random as
by evolution (NEAT), and a mixture of all of these. Sometimes layers of another kind form two branches that meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_check.case.network import Case
from backprop_check.cases.draw import REDUCTIONS, Draw, dense, layer_of, loss_of, own_slopes, rate_of, target_of
from backprop_check.cases.within import kinds_of
from backprop_check.kinds import KINDS
from backprop_check.kinds.kind import size

if TYPE_CHECKING:
    from backprop_check.cases.within import Within
    from backprop_check.kinds import Kind, Shape

_COMBINE = ("add", "concat", "multiply")


class Graph:
    """A network under construction: its layers as JSON, the shape of every output by name, and which outputs are
    unread.
    """

    def __init__(self, draw: Draw, inputs: Shape, activations: tuple[str, ...]) -> None:
        self.draw, self.activations = draw, activations
        self.layers: list[dict[str, Any]] = []
        self.shapes: dict[str, Shape] = {"input": inputs}
        self.unread = {"input"}
        self.fan_in: dict[str, int] = {}
        self.named = draw.whole(0, 1) == 0  # otherwise layers have their default names

    @property
    def last(self) -> str:
        """The layer added last."""
        return list(self.shapes)[-1]

    def width(self, name: str) -> int:
        """The number of units of an output."""
        return size(self.shapes[name])

    def add(self, layer: dict[str, Any], read: list[str], combine: str | None, shape: Shape) -> str:
        """Add a layer that reads the outputs ``read``; returns its name."""
        name = f"{'abcdefghijklmnopqrstuvwxyz'[len(self.layers)]}" if self.named else f"hidden{len(self.layers) + 1}"
        if self.named:
            layer["name"] = name
        if read != [self.last] or self.draw.whole(0, 3) == 0:
            layer["from"] = read
        if len(read) > 1:
            layer["combine"] = combine
        self.layers.append(layer)
        self.shapes[name] = shape
        self.unread.difference_update(read)
        self.unread.add(name)
        return name

    def dense(self, read: list[str], units: int, combine: str | None = None, activation: str | None = None) -> str:
        """Add a dense layer that reads the outputs ``read``; returns its name."""
        widths = [self.width(name) for name in read]
        fan_in = sum(widths) if combine == "concat" else widths[0]
        layer = dense(self.draw, fan_in, units, activation or self.draw.one_of(self.activations))
        name = self.add(layer, read, combine if len(read) > 1 else None, (units,))
        self.fan_in[name] = fan_in
        return name

    def shared(self, owner: str, read: list[str], combine: str | None = None) -> str:
        """Add a dense layer with the parameters of an earlier one and an activation of its own; returns its name."""
        first = self.layers[list(self.shapes).index(owner) - 1]
        layer = {key: value for key, value in first.items() if key not in ("name", "from", "combine", "alpha")}
        layer["activation"] = self.draw.one_of(self.activations)
        return self.add(layer | {"shares": first.get("shares", owner)}, read, combine, self.shapes[owner])

    def mixed(self, names: list[str]) -> list[str]:
        """The names in random order."""
        left, found = list(names), []
        while left:
            found.append(left.pop(self.draw.whole(0, len(left) - 1)))
        return found

    def finish(self, units: int, activation: str) -> None:
        """Add the output layer: it reads every output that is still unread."""
        read = self.mixed(sorted(self.unread - {"input"})) or [self.last]
        if self.draw.whole(0, 3) == 0 and "input" not in read:
            read.insert(self.draw.whole(0, len(read)), "input")
        same = len({self.shapes[name] for name in read}) == 1
        combine = self.draw.one_of(_COMBINE) if same else "concat"
        if len({self.shapes[name][1:] for name in read}) > 1:  # their shapes do not fit: each gets a layer
            read, combine = [self.dense([name], 2) for name in read], "add"
        shapes = [self.shapes[name] for name in read]
        fan_in = sum(map(size, shapes)) if combine == "concat" else size(shapes[0])
        layer = dense(self.draw, fan_in, units, activation)
        layer |= {"from": read, "combine": combine} if len(read) > 1 else {} if read == [self.last] else {"from": read}
        self.layers.append(layer)


def _skip(net: Graph) -> None:
    """x + F(x): a connection that skips some layers."""
    first = net.dense(["input"], net.draw.whole(2, 4))
    inner = net.dense([first], net.draw.whole(2, 3)) if net.draw.whole(0, 1) else first
    inner = net.dense([inner], net.width(first))
    net.dense(net.mixed([inner, first]), net.draw.whole(2, 3), net.draw.one_of(("add", "add", "concat")))


def _everything(net: Graph) -> None:
    """Each layer reads all layers before it."""
    for _ in range(net.draw.whole(2, 3)):
        net.dense(net.mixed(list(net.shapes)), net.draw.whole(1, 3), "concat")


def _gate(net: Graph) -> None:
    """One layer times another: σ(…) ⊙ tanh(…)."""
    units = net.draw.whole(2, 3)
    usual = tuple(name for name in ("sigmoid", "tanh") if name in net.activations) or net.activations
    gate = net.dense(["input"], units, activation=usual[0])
    value = net.dense(["input"], units, activation=usual[-1])
    read = [gate, value]
    if net.draw.whole(0, 2) == 0:
        read.append(net.draw.one_of(read))  # one factor is squared
    net.dense(net.mixed(read), net.draw.whole(2, 3), "multiply")


def _fan_out(net: Graph) -> None:
    """One output that is read three times."""
    first = net.dense(["input"], net.draw.whole(2, 3))
    units = net.draw.whole(2, 3)
    branches = [net.dense([first], units), net.dense([first], units)]
    read = [*branches, first] if units == net.width(first) and net.draw.whole(0, 1) else branches
    net.dense(net.mixed(read), net.draw.whole(2, 3), net.draw.one_of(_COMBINE))


def _tied(net: Graph) -> None:
    """A layer's weights used again, after the layer and in parallel to it."""
    units = net.width("input")
    if net.draw.whole(0, 1):
        units = net.width(net.dense(["input"], net.draw.whole(2, 3)))
    owner = net.dense([net.last], units)
    second = net.shared(owner, [owner])
    if net.draw.whole(0, 1):
        second = net.shared(net.draw.one_of((owner, second)), [second, owner], net.draw.one_of(("add", "multiply")))
    net.dense(net.mixed([second, owner]), net.draw.whole(2, 3), net.draw.one_of(_COMBINE))


def _neurons(net: Graph) -> None:
    """Single neurons, each of which reads any earlier ones."""
    for _ in range(net.draw.whole(3, 6)):
        names = net.mixed(list(net.shapes))
        read = names[: net.draw.whole(1, min(3, len(names)))]
        single = all(net.width(name) == 1 for name in read)
        net.dense(read, 1, net.draw.one_of(_COMBINE) if single else "concat")


def _anything(net: Graph) -> None:
    """A mixture of everything, at random; one layer may be read by none."""
    owners: list[str] = []
    for _ in range(net.draw.whole(3, 5)):
        names = net.mixed(list(net.shapes))
        read = names[: net.draw.one_of((1, 2, 2, 3))]
        if net.draw.whole(0, 9) == 0:
            read.append(read[0])
        alike = len({net.width(name) for name in read}) == 1
        combine = net.draw.one_of(_COMBINE) if alike else "concat"
        fan_in = net.width(read[0]) if combine != "concat" else sum(map(net.width, read))
        fits = [name for name in owners if net.fan_in[name] == fan_in]
        if fits and net.draw.whole(0, 1):
            net.shared(net.draw.one_of(fits), read, combine if len(read) > 1 else None)
            continue
        owners.append(net.dense(read, net.draw.whole(1, 3), combine))
    if net.draw.whole(0, 5) == 0 and len(net.unread) > 1:
        net.unread.discard(net.draw.one_of(sorted(net.unread)))


_FORMS = (_skip, _everything, _gate, _fan_out, _tied, _neurons, _anything)


def _branches(net: Graph, kind: type[Kind], samples: int) -> None:
    """Two layers of another kind that read the input, or one layer used twice; their outputs meet again."""
    layer, shape = layer_of(net.draw, kind, net.shapes["input"], samples)
    first = net.add(layer, ["input"], None, shape)
    if net.shapes[first] == net.shapes["input"] and layer.get("parameters") and net.draw.whole(0, 1):
        again = {key: value for key, value in layer.items() if key not in ("name", "from")} | {"shares": first}
        second = net.add(again, [first], None, net.shapes[first])
    else:
        other, shape = layer_of(net.draw, kind, net.shapes["input"], samples)
        second = net.add(other, ["input"], None, shape)
    read = net.mixed([first, second])
    if net.shapes[first] == net.shapes[second]:
        net.dense(read, 2, net.draw.one_of(("add", "multiply")))
    elif net.shapes[first][1:] == net.shapes[second][1:]:
        layer = dense(net.draw, net.width(first) + net.width(second), 2, net.draw.one_of(net.activations))
        net.add(layer, read, "concat", (2,))


def candidate(draw: Draw, index: int, within: Within) -> Case:
    """One random case. Raises ``CaseError`` where the parts that were drawn do not fit together."""
    samples = draw.one_of((1, 1, 2, 3, 4, 7)) if within.batch else 1
    others = [kind for kind in kinds_of("graph", within) if kind.family]
    pairs = within.pairs()
    activation, loss = pairs[(index * 37) % len(pairs)]
    form = _FORMS[index % len(_FORMS)]
    kind = others[index // 7 % len(others)] if others and form is _skip and index // 7 % 2 else None
    if kind is not None and kind.activations and not set(kind.drawn_activations) & set(within.activations):
        kind = None  # none of its activations is supported
    inputs: Shape = (draw.whole(2, 3),) if kind is None else kind.draw_inputs(draw)
    net = Graph(draw, inputs, tuple(within.hidden()) or ("identity",))
    if kind is None:
        form(net)
    else:
        _branches(net, kind, samples)
    net.finish(draw.whole(2, 3), activation)
    units = net.layers[-1]["units"]
    updates = within.updates and index // len(_FORMS) % 2 == index % 2
    what = form.__name__[1:] if kind is None else str(kind.__struct_config__.tag).replace("_", "-")
    given = KINDS["dense"] if kind is None else kind
    reduction = REDUCTIONS[index // 3 % 2]
    body: dict[str, Any] = {
        "name": f"graph-{what}-s{index:04d}",
        "network": {"inputs": inputs[0] if kind is None else list(inputs), "layers": net.layers},
        "loss": loss_of(loss, 0.8),
        "reduction": reduction,
        "inputs": [given.draw_sample(draw, inputs) for _ in range(samples)],
        "targets": [target_of(draw, activation, loss, units) for _ in range(samples)],
    }
    own_slopes(draw, net.layers)
    if updates:
        rate = rate_of(draw, (0.05, 0.1), reduction, samples)
        body |= {"optimizer": {"kind": "sgd", "learning_rate": rate}, "steps": draw.one_of((1, 1, 2))}
    return Case.from_dict(body)
