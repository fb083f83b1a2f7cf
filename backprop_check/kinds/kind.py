"""The base class of the kinds of layers: fields, shapes, parameters and equations.

A new kind is one file in this package: a subclass of ``Kind`` for each ``kind`` of the protocol. It defines

- its fields, with PyTorch's names, and which values are valid (``check``);
- the shape of its output and of each parameter, given the shape of its input;
- its equations, forward only, in terms of a circuit ``c`` (``reference.circuit``): weighted sums, functions of one
  number, softmax, maximum. The backward pass, the bounds, the explanation and the blame are derived from these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping  # noqa: TC003 - msgspec reads the fields' types
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np

from backprop_check.fields import NotNegative, description, fail, one_of
from backprop_check.functions.names import ALL_ACTIVATIONS
from backprop_check.kinds.given import GivenNumbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Shape = tuple[int, ...]

Combine = Annotated[str, one_of(("add", "multiply", "concat"))]

#: The fields of every layer that has an activation.
Activation = Annotated[str, one_of(ALL_ACTIVATIONS)]
Alpha = Annotated[NotNegative, description("The parameter of leaky_relu and elu.")]

#: The names of a unit's indexes, by how many it has.
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
    """A layer of a network. These are the fields of every kind; most kinds add ``parameters``.

    ``from`` names the layers that it reads (``input`` is the network's input); by default it reads the layer before it.
    ``combine`` says how the outputs of several are combined: ``add``, ``multiply`` (element by element) or ``concat``
    (one after the other, along the first index of a unit). ``shares`` names an earlier layer whose parameters this
    layer uses.
    """

    name: Annotated[str | None, description("The layer's name; by default hidden1, hidden2, …, output.")] = None
    from_: Annotated[
        tuple[str, ...],
        description("The layers it reads; by default the one before it. input is the network's input."),
    ] = msgspec.field(default=(), name="from")
    combine: Annotated[
        Combine | None,
        description("How the outputs of several layers are combined; concat is along the first index of a unit."),
    ] = None
    shares: Annotated[
        str | None,
        description(
            "An earlier layer whose parameters this one uses. They are repeated here; the gradients of both are summed "
            "there."
        ),
    ] = None

    #: The family, and so the suite, of this kind: ``convolution``, ``recurrent``, … Empty for dense layers.
    family: ClassVar[str] = ""

    #: Whether its input holds indices, written as whole numbers. Then it can read only the network's input.
    indices: ClassVar[bool] = False

    #: The features (``supports.features``) that a port must claim to be sent any layer made by ``draw``.
    needs: ClassVar[tuple[str, ...]] = ()

    #: The activations that a layer of this kind can have; empty where the kind has no activation.
    activations: ClassVar[tuple[str, ...]] = ()

    #: Those of the activations that ``draw`` uses.
    drawn_activations: ClassVar[tuple[str, ...]] = ()

    #: The features that only some of the layers made by ``draw`` need (``features`` says which one needs what). For a
    #: port that does not claim them, layers that do not need them are generated.
    options: ClassVar[tuple[str, ...]] = ()

    #: What a reply contains for this layer: ``a``, and ``z`` where the two differ.
    reported: ClassVar[tuple[str, ...]] = ("a",)

    #: Whether the layer is just z = Σ w·x + b and a = φ(z), so that a reply contains everything it computes.
    one_sum: ClassVar[bool] = False

    #: Whether it gets the layers that it reads separately: ``inputs`` is then a tuple of shapes and ``x`` a list of
    #: tables (attention reads queries from one layer, keys from another). All other kinds read one layer, or several
    #: that ``combine`` has made one.
    apart: ClassVar[bool] = False

    #: The names of its units' indexes, by how many there are.
    places: ClassVar[Mapping[int, tuple[str, ...]]] = PLACES

    def __post_init__(self) -> None:
        for field in ("parameters", "buffers"):
            named = getattr(self, field, None)
            if isinstance(named, dict):
                given = {name: each if each is None else GivenNumbers.of(each) for name, each in named.items()}
                msgspec.structs.force_setattr(self, field, given)

    @property
    def kind(self) -> str:
        """The name on the wire: ``dense``, ``conv2d``, …"""
        return str(type(self).__struct_config__.tag)

    @property
    def activation(self) -> str:
        """The activation; ``identity`` for a kind that has no such field."""
        return "identity"

    @property
    def alpha(self) -> float | None:
        """The activation's α, or None."""
        return None

    @property
    def features(self) -> tuple[str, ...]:
        """The features (``supports.features``) that a port needs for this layer, beyond its kind."""
        return ()

    def check(self, path: str, inputs: Shape) -> None:
        """Check the fields against each other and against the shape of the input; ``path`` is the layer's place in the
        JSON.

        Raises ``CaseError`` where a field has a value that is not allowed, or the layer cannot read such an input.
        """

    def check_batch(self, path: str, inputs: Shape, samples: Sequence[Sequence[float]]) -> None:
        """Check what the layer has for every sample, such as a mask or lengths, against the batch.

        Raises ``CaseError`` where the number of entries differs from the number of samples, or an entry is not valid.
        """

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the output for one sample."""
        raise NotImplementedError

    def z_shape(self, inputs: Shape) -> Shape:
        """The shape of the pre-activation z, and of δ, for one sample; usually that of the output."""
        return self.output_shape(inputs)

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """The shape of each parameter by its name on the wire."""
        del inputs
        return {}

    def products(self, inputs: Any) -> int:
        """About how many products one sample takes beyond those of its parameters: it limits an untrusted case."""
        del inputs
        return 0

    def classes(self, inputs: Shape) -> int | None:
        """The number K of units that a softmax at the end of the layer runs over, or None. Label smoothing needs K."""
        del inputs
        return None

    def buffer_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """The shape of each buffer by name: the ``buffers`` of a reply, which a pass changes and which are no
        parameters.
        """
        del inputs
        return {}

    def buffer_rows(self) -> dict[str, GivenNumbers]:
        """The buffers given by the case, by name: their values before the first pass."""
        return getattr(self, "buffers", None) or {}

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """Build the layer on the circuit ``c`` and return ``c.output(a, z)``.

        ``x`` is the table that it reads (a list of tables where ``apart``), ``parameters`` are tables by name.
        """
        raise NotImplementedError

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """The shape of a small input for a generated case. ``draw`` is a ``cases.draw.Draw``."""
        raise NotImplementedError

    @classmethod
    def draw_sample(cls, draw: Any, inputs: Shape) -> Any:
        """One sample of that shape, as nested lists."""
        return nested([draw.number(1.5, 2) for _ in range(size(inputs))], inputs)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """A random layer of this kind as JSON, with numbers of few digits; None where no such layer can read
        ``inputs``.
        """
        raise NotImplementedError

    @classmethod
    def draw_wired(cls, draw: Any, inputs: Shape, samples: int) -> list[dict[str, Any]] | None:
        """Layers, the last of which is of this kind and reads several others; None for a kind that reads only one."""
        del draw, inputs, samples
        return None

    @classmethod
    def draw_end(cls, draw: Any, inputs: Shape, losses: Sequence[str], features: Sequence[str]) -> Ending | None:
        """The last layers and the loss of a generated network, where this family has its own; None: use the common
        ones.
        """
        del draw, inputs, losses, features
        return None

    def of_samples(self, samples: Sequence[int]) -> Kind:
        """The same layer for some samples of the batch: what it has for every sample (masks, lengths) is selected."""
        del samples
        return self

    def arrays(self) -> dict[str, Any]:
        """Its parameters by name: given numbers."""
        parameters = getattr(self, "parameters", None)
        if parameters is None:
            return {}
        return dict(parameters) if isinstance(parameters, dict) else msgspec.structs.asdict(parameters)


class Ending(msgspec.Struct, frozen=True):
    """The last layers of a generated network, its loss, and a function that draws the targets of one sample."""

    layers: list[dict[str, Any]]
    loss: dict[str, Any]
    target: Callable[[], Any]


def size(shape: Shape) -> int:
    """The number of elements of an array of that shape."""
    return math.prod(shape)


def words(shape: Shape) -> str:
    """The shape in words: ``2 x 3 x 3``."""
    return " x ".join(map(str, shape)) or "one number"


def flat(path: str, value: Any, shape: Shape, what: str) -> NDArray[np.float64]:
    """The numbers of an array or of nested lists, in row-major order; ``what`` says in messages what they are.

    Raises ``CaseError`` where they do not have that shape, or an element is not a finite number.
    """
    given = GivenNumbers.of(value)
    if given.other is None and given.shape == shape and np.isfinite(given.values).all():
        return given.values.reshape(-1)

    def walk(part: Any, at: str, depth: int) -> None:
        if depth == len(shape):
            finite_number(at, part)
            return
        if not isinstance(part, list | tuple) or len(part) != shape[depth]:
            got = len(part) if isinstance(part, list | tuple) else type(part).__name__
            fail(at, f"{shape[depth]} (an array of {words(shape)}: {what})", got)
        for number, item in enumerate(part):
            walk(item, f"{at}[{number}]", depth + 1)

    walk(given.tolist(), path, 0)
    return np.zeros(0)  # right, and an array of no numbers: lists do not say what shape that has


def finite_number(path: str, value: Any) -> None:
    """Raises ``CaseError`` unless ``value`` is a number, and finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        fail(path, "a number", "a list" if isinstance(value, list | tuple) else repr(value))
    if not -math.inf < value < math.inf:
        fail(path, "a finite number", value)


def nested(numbers: Any, shape: Shape) -> Any:
    """A flat sequence of numbers as nested lists of that shape."""
    if len(shape) <= 1:
        return list(numbers)
    step = size(shape[1:])
    return [nested(numbers[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


#: The parameters of a dense layer: name on the wire → name in a trace. All other kinds use PyTorch's names in both.
_IN_TRACE = {"weights": "weight", "biases": "bias"}


def quantity_of(name: str) -> str:
    """A parameter's name in a trace: ``weight`` for ``weights``, else its own."""
    return _IN_TRACE.get(name, name)


def drawn(draw: Any, shape: Shape, bound: float, digits: int = 3) -> Any:
    """A random parameter as nested lists: numbers of few digits, none of them 0, none larger in size than ``bound``."""
    return nested([draw.number(bound, digits) for _ in range(size(shape))], shape)
