"""The base class of the kinds of layers: fields, shapes, parameters and equations.

A new kind is one file in this package: a subclass of ``Kind`` for each ``kind`` of the protocol. It defines

- its fields, with PyTorch's names, and which values are valid (``check``);
- the shape of its output and of each parameter, given the shape of its input;
- its equations, forward only, in the terms of a circuit ``c`` (``reference.circuit``): weighted sums, functions of one
  number, softmax, maximum. The backward pass, the bounds, the explanation and the blame follow from these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping  # noqa: TC003 - msgspec reads the fields' types
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from backprop_check.fields import NotNegative, fail, one_of, said
from backprop_check.kinds.names import ALL_ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape = tuple[int, ...]

Combine = Annotated[str, one_of(("add", "multiply", "concat"))]

#: The fields of every layer that has an activation.
Activation = Annotated[str, one_of(ALL_ACTIVATIONS)]
Alpha = Annotated[NotNegative, said("The parameter of leaky_relu and elu.")]

#: What the places of a unit are called, by the number of its indexes.
PLACES: dict[int, tuple[str, ...]] = {
    1: ("neuron",),
    2: ("channel", "position"),
    3: ("channel", "row", "column"),
}


class Kind(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    dict=True,
    kw_only=True,
):
    """A layer of a network. Every kind has these fields, but for ``parameters`` where it has none.

    ``from`` names the layers it reads (``input`` is the network's input), where it is not the one before; ``combine``
    says how several are made one: ``add``, ``multiply`` (element by element) or ``concat`` (one after the other, along
    the first index of a unit). ``shares`` names an earlier layer whose parameters are its own too.
    """

    name: Annotated[str | None, said("Of its own; else it is called hidden1, hidden2, …, output.")] = None
    from_: Annotated[
        tuple[str, ...], said("The layers it reads, where not the one before it; input is the network's input.")
    ] = msgspec.field(default=(), name="from")
    combine: Annotated[
        Combine | None,
        said("How the outputs of several layers are made one; concat is along the first index of a unit."),
    ] = None
    shares: Annotated[
        str | None,
        said("An earlier layer whose parameters are its own too; they are repeated here, gradients are summed there."),
    ] = None

    #: The suite that it belongs to: ``convolution``, ``recurrent``, … Empty for dense layers.
    family: ClassVar[str] = ""

    #: Whether what it reads are indices, written as whole numbers: it can read nothing but the network's input.
    indices: ClassVar[bool] = False

    #: What of ``supports.features`` a port must have for the layers that ``draw`` gives.
    needs: ClassVar[tuple[str, ...]] = ()

    #: The activations that a layer of this kind can have; empty where the kind has no activation.
    activations: ClassVar[tuple[str, ...]] = ()

    #: Those of them that ``draw`` gives.
    drawn_activations: ClassVar[tuple[str, ...]] = ()

    #: What of it only some of those layers need (``features`` tells of each); others are drawn where it is not had.
    options: ClassVar[tuple[str, ...]] = ()

    #: What it reports: ``z`` too, where that is not its output.
    reported: ClassVar[tuple[str, ...]] = ("a",)

    #: Whether it is z = Σ w·x + b and a = φ(z) and nothing else: everything that it computes is reported.
    one_sum: ClassVar[bool] = False

    #: Whether it is given the layers that it reads one by one: ``inputs`` is then a tuple of their shapes, ``x`` a list
    #: of their tables (attention reads queries here and keys there). All others read one, or several ``combine``-d.
    apart: ClassVar[bool] = False

    #: What the indexes of its units are called.
    places: ClassVar[Mapping[int, tuple[str, ...]]] = PLACES

    @property
    def kind(self) -> str:
        """``dense``, ``conv2d``, …"""
        return str(type(self).__struct_config__.tag)

    @property
    def activation(self) -> str:
        """The activation; a kind that has one has a field of that name."""
        return "identity"

    @property
    def alpha(self) -> float | None:
        """The activation's α."""
        return None

    @property
    def features(self) -> tuple[str, ...]:
        """What of ``supports.features`` it needs, beyond its kind."""
        return ()

    def check(self, path: str, inputs: Shape) -> None:
        """Raise ``CaseError`` where a field is not what it may be, or the input's shape does not suit."""

    def check_batch(self, path: str, inputs: Shape, samples: Sequence[Sequence[float]]) -> None:
        """Raise ``CaseError`` where what it has for every sample does not suit the batch."""

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of one sample's output."""
        raise NotImplementedError

    def z_shape(self, inputs: Shape) -> Shape:
        """The shape of one sample's pre-activation z (and delta), where it is not that of the output."""
        return self.output_shape(inputs)

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """The names and shapes of its parameters, as on the wire."""
        del inputs
        return {}

    def products(self, inputs: Any) -> int:
        """About how many products one sample takes, beside those of its parameters: what a stranger's file may ask."""
        del inputs
        return 0

    def classes(self, inputs: Shape) -> int | None:
        """Over how many units a softmax at its end goes: a label's smoothing is spread over them; None: over none."""
        del inputs
        return None

    def buffer_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """The names and shapes of what a pass changes beside the parameters: the ``buffers`` of a reply."""
        del inputs
        return {}

    def buffer_rows(self) -> dict[str, Sequence[float]]:
        """The buffers that its case gives, by name: what the first pass begins with."""
        return getattr(self, "buffers", None) or {}

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """The layer on the circuit ``c``: gives ``c.output(a, z)``."""
        raise NotImplementedError

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """The shape of a small input that suits it, for a generated case. ``draw`` is a ``cases.draw.Draw``."""
        raise NotImplementedError

    @classmethod
    def draw_sample(cls, draw: Any, inputs: Shape) -> Any:
        """One sample's input, as nested lists."""
        return nested([draw.number(1.5, 2) for _ in range(size(inputs))], inputs)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """A layer of this kind as JSON, of few digits, that reads such an input; None where that cannot be."""
        raise NotImplementedError

    @classmethod
    def draw_wired(cls, draw: Any, inputs: Shape, samples: int) -> list[dict[str, Any]] | None:
        """Layers of which the last is of this kind and reads several others; None for a kind that reads one."""
        del draw, inputs, samples
        return None

    @classmethod
    def draw_end(cls, draw: Any, inputs: Shape, losses: Sequence[str], features: Sequence[str]) -> Ending | None:
        """An end of the network that only this family has, and its loss; None for the ends that all have."""
        del draw, inputs, losses, features
        return None

    def of_samples(self, samples: Sequence[int]) -> Kind:
        """The same layer for some samples of a batch: it differs where it has something for every sample."""
        del samples
        return self

    def arrays(self) -> dict[str, Any]:
        """Its parameters by name, as nested tuples."""
        parameters = getattr(self, "parameters", None)
        if parameters is None:
            return {}
        return dict(parameters) if isinstance(parameters, dict) else msgspec.structs.asdict(parameters)


class Ending(msgspec.Struct, frozen=True):
    """The last layers of a generated network, its loss, and what gives one sample's targets."""

    layers: list[dict[str, Any]]
    loss: dict[str, Any]
    target: Callable[[], Any]


def size(shape: Shape) -> int:
    """How many numbers an array of that shape holds."""
    return math.prod(shape)


def words(shape: Shape) -> str:
    """``2 x 3 x 3``."""
    return " x ".join(map(str, shape)) or "one number"


def flat(path: str, value: Any, shape: Shape, what: str) -> tuple[float, ...]:
    """The numbers of nested lists, in order; raises ``CaseError`` where they have not that shape, or are not finite."""
    found: list[float] = []

    def walk(part: Any, at: str, depth: int) -> None:
        if depth == len(shape):
            if isinstance(part, bool) or not isinstance(part, int | float):
                fail(at, "a number", "a list" if isinstance(part, list | tuple) else repr(part))
            if not math.isfinite(part):
                fail(at, "a finite number", part)
            found.append(float(part))
            return
        if not isinstance(part, list | tuple) or len(part) != shape[depth]:
            got = len(part) if isinstance(part, list | tuple) else type(part).__name__
            fail(at, f"{shape[depth]} (an array of {words(shape)}: {what})", got)
        for number, item in enumerate(part):
            walk(item, f"{at}[{number}]", depth + 1)

    walk(value, path, 0)
    return tuple(found)


def nested(numbers: Any, shape: Shape) -> Any:
    """Numbers in a row as nested lists of that shape."""
    if len(shape) <= 1:
        return list(numbers)
    step = size(shape[1:])
    return [nested(numbers[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


#: A dense layer's names on the wire, and in a trace. All other kinds have PyTorch's in both.
_IN_TRACE = {"weights": "weight", "biases": "bias"}


def quantity_of(name: str) -> str:
    """A parameter's name in a trace: ``weight`` for ``weights``, else its own."""
    return _IN_TRACE.get(name, name)


def drawn(draw: Any, shape: Shape, bound: float, digits: int = 3) -> Any:
    """A parameter of few digits, as nested lists: no number is 0, none larger than ``bound``."""
    return nested([draw.number(bound, digits) for _ in range(size(shape))], shape)
