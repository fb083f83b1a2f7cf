"""Network, Layer, Case: what an implementation is asked to compute. Immutable, checked when made, JSON in and out.

The JSON of a case is the protocol's request without ``type`` and ``id``. Its id is a readable slug and a hash of the
content: the same case always has the same id, and a changed case has another.
"""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from backprop_check.case.refusals import case_error
from backprop_check.case.training import Clip, Optimizer, Regularization, check_training, features_of
from backprop_check.errors import CaseError
from backprop_check.fields import Count, Positive, Share, at_least, check_fields, description, fail, items, one_of
from backprop_check.functions.names import (
    ACTIVATIONS,
    ALL_LOSSES,
    DEFAULT_ALPHA,
    DEFAULT_THRESHOLD,
    LOSSES,
    NEEDS_OUTPUT,
)
from backprop_check.kinds import AnyLayer, Shape
from backprop_check.kinds.dense import Dense as Layer
from backprop_check.kinds.dense import Matrix, Parameters, check_rows
from backprop_check.kinds.given import GivenNumbers, as_lists, encoded, plain
from backprop_check.kinds.kind import flat, size, words

if TYPE_CHECKING:
    from collections.abc import Callable

    Inputs = int  # for type checkers: most networks read a vector
else:
    Inputs = Annotated[int, at_least(1, "input")] | Annotated[tuple[Count, ...], items(1, of="input")]


#: The most layers of a network.
MOST_LAYERS = 1000


#: The most products of a weight and an input in an untrusted case, as ``Network.work`` counts them.
MOST_WORK = 10**9

#: How many products of a dense layer one of another layer counts as.
WIRED = 33


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Unknown fields are errors, so that a misspelt one is noticed."""


class Network(_Strict, frozen=True, dict=True):
    """Layers that read ``inputs``, one after the other unless they say otherwise.

    ``inputs`` is a number, or the shape of one sample (channels, rows, columns). A layer's ``from`` names the layers
    that it reads; by default it reads the one before it.
    """

    inputs: Annotated[Inputs, description("The number of inputs, or their shape.")]
    layers: Annotated[tuple[AnyLayer, ...], items(1, MOST_LAYERS, "layers")]

    def names(self) -> list[str]:
        """The name of each layer: its own, or hidden1, hidden2, …, output."""
        last = len(self.layers) - 1
        return [
            layer.name or ("output" if index == last else f"hidden{index + 1}")
            for index, layer in enumerate(self.layers)
        ]

    def shape(self) -> str:
        """The sizes in words, ``3x4x2``: inputs, then the units of every layer."""
        return "x".join(str(n) for n in (self.input_units, *self.widths))

    @functools.cached_property
    def families(self) -> frozenset[str]:
        """The suites (``graph``, ``convolution``, …) that its layers and their wiring belong to.

        Empty where it consists of dense layers, one after the other.
        """
        wired = any(layer.from_ or layer.shares for layer in self.layers)
        return frozenset({layer.family for layer in self.layers if layer.family} | ({"graph"} if wired else set()))

    @functools.cached_property
    def input_shape(self) -> Shape:
        """The shape of one sample."""
        return (self.inputs,) if isinstance(self.inputs, int) else self.inputs

    @property
    def features(self) -> list[str]:
        """The entries of ``supports.features`` that an implementation needs for it."""
        return ["graph"] * ("graph" in self.families) + sorted(
            {feature for layer in self.layers for feature in layer.features}
        )

    @functools.cached_property
    def products(self) -> int:
        """About how many products of a weight and an input one sample takes."""
        return sum(self._products)

    @functools.cached_property
    def work(self) -> int:
        """The products of one sample as the limits for untrusted cases count them.

        Those of all but dense layers count ``WIRED`` times: each may have a place in a wiring, which takes memory.
        """
        return sum(own * (WIRED if layer.family else 1) for own, layer in zip(self._products, self.layers, strict=True))

    @functools.cached_property
    def _products(self) -> list[int]:
        found = []
        for index, layer in enumerate(self.layers):
            own = self.widths[index]
            if not layer.one_sum:  # units are made one by one, or along a wiring that is no matrix product
                own += 100 * self.widths[index] + layer.products(self.input_shapes[index])
            for shape in self.layers[self.owner(index)].parameter_shapes(self.input_shapes[index]).values():
                own += size(shape) * (1 + self.widths[index] // shape[0] if len(shape) > 1 else 1)
            found.append(own)
        return found

    @property
    def input_units(self) -> int:
        """How many numbers one sample has."""
        return size(self.input_shape)

    @functools.cached_property
    def sources(self) -> list[list[int]]:
        """For every layer the numbers of the layers that it reads; −1 is the network's input.

        Raises ``CaseError`` where two layers have one name, or ``from`` names no earlier layer.
        """
        names = ["input", *self.names()]
        found = []
        for index, name in enumerate(names):
            if name in names[:index]:
                path = f"$.network.layers[{index - 1}].name"
                fail(path, "a name that no other layer has, nor the network's input", repr(name))
        for index, layer in enumerate(self.layers):
            for name in layer.from_:
                if name not in names[: index + 1]:
                    earlier = ", ".join(names[: index + 1])
                    fail(f"$.network.layers[{index}].from", f"earlier layers ({earlier})", repr(name))
            found.append([names.index(name) - 1 for name in layer.from_] or [index - 1])
        return found

    @functools.cached_property
    def input_shapes(self) -> list[Shape]:
        """The shape of what every layer reads. Raises ``CaseError`` where a layer is not valid."""
        return self._shapes[0]

    @functools.cached_property
    def output_shapes(self) -> list[Shape]:
        """The shape of every layer's output. Raises ``CaseError`` where a layer is not valid."""
        return self._shapes[1]

    @functools.cached_property
    def classes(self) -> int | None:
        """The number of units that a softmax of the output runs over; None where it can have none."""
        found: int | None = self.layers[-1].classes(self.input_shapes[-1])
        return found

    @functools.cached_property
    def widths(self) -> list[int]:
        """How many units every layer has."""
        return [size(shape) for shape in self.output_shapes]

    @functools.cached_property
    def _shapes(self) -> tuple[list[Shape], list[Shape]]:
        read: list[Shape] = []
        made: list[Shape] = []
        for index, layer in enumerate(self.layers):
            path = f"$.network.layers[{index}]"
            shapes = [self.input_shape if source < 0 else made[source] for source in self.sources[index]]
            inputs: Any = tuple(shapes) if layer.apart else _combined(path, layer.combine, shapes)
            if layer.indices and self.sources[index] != [-1]:
                fail(
                    f"{path}.from",
                    "the network's input (no other layer gives indices)",
                    ", ".join(layer.from_) or "none",
                )
            check_fields(path, layer)
            layer.check(path, inputs)
            if layer.shares:
                self._owner(index)
            read.append(inputs)
            made.append(layer.output_shape(inputs))
        return read, made

    def _owner(self, index: int) -> int:
        """The layer whose parameters layer ``index`` uses."""
        layer = self.layers[index]
        names = self.names()[:index]
        if layer.shares not in names:
            fail(f"$.network.layers[{index}].shares", f"an earlier layer ({', '.join(names)})", repr(layer.shares))
        owner = names.index(layer.shares)
        if self.layers[owner].kind != layer.kind:
            fail(f"$.network.layers[{index}].shares", f"a layer of the kind {layer.kind}", self.layers[owner].kind)
        if self.layers[owner].arrays() != layer.arrays():
            fail(f"$.network.layers[{index}].parameters", f"those of {layer.shares}, which it shares", "others")
        return self._owner(owner) if self.layers[owner].shares else owner

    def owner(self, index: int) -> int:
        """The layer whose parameters layer ``index`` uses: itself, or the one that it shares them with."""
        return self._owner(index) if self.layers[index].shares else index


def _combined(path: str, combine: str | None, shapes: list[Shape]) -> Shape:
    """The shape of several layers' outputs combined."""
    if len(shapes) == 1:
        return shapes[0]
    if combine == "concat":
        if len({shape[1:] for shape in shapes}) > 1:
            fail(f"{path}.from", "outputs that differ in their first index only", " and ".join(map(words, shapes)))
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])
    if combine not in ("add", "multiply"):
        fail(f"{path}.combine", "add, multiply or concat (for several layers in from)", repr(combine))
    if len(set(shapes)) > 1:
        fail(f"{path}.from", "outputs of one shape", " and ".join(map(words, shapes)))
    return shapes[0]


class LossKind(_Strict, frozen=True):
    """Which loss, with Huber's threshold, and cross-entropy's label smoothing."""

    kind: Annotated[str, one_of(ALL_LOSSES)]
    threshold: Annotated[Positive | None, description("The parameter of huber.")] = None
    label_smoothing: Annotated[
        Share | None,
        description("For cross_entropy: t is replaced by t (1 - label_smoothing) + label_smoothing / K, K classes."),
    ] = None


class Case(_Strict, frozen=True, dict=True):
    """A network, a batch and a loss; with an optimizer, updated parameters are asked for too.

    Raises ``CaseError`` with the JSON path, what was expected and what was found, where a field is not valid.
    """

    network: Network
    loss: LossKind
    reduction: Annotated[Literal["mean", "sum"], description("How the losses of the samples are combined.")]
    inputs: Matrix
    targets: Matrix
    optimizer: Annotated[
        Optimizer | None,
        description(
            "Only where updated parameters are asked for. Every field of its kind is written out, but plain sgd has "
            "only learning_rate."
        ),
    ] = None
    steps: Annotated[int, at_least(1, "step")] = 1
    name: str = "case"
    clip: Annotated[
        Clip | None, description("Clips the gradients before the update; those in the reply are not clipped.")
    ] = None
    regularization: Regularization | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "inputs", GivenNumbers.of(self.inputs).as_floats())
        msgspec.structs.force_setattr(self, "targets", GivenNumbers.of(self.targets).as_floats())
        _check(self)

    @functools.cached_property
    def id(self) -> str:
        """Slug and content hash, ASCII: ``mazur-2x2x2-1c2d3e4f``."""
        optimizer = None if self.optimizer is None else self.optimizer.whole()
        penalty = None if self.regularization is None else self.regularization.whole()
        content = msgspec.structs.replace(self, name="case", optimizer=optimizer, regularization=penalty)
        digest = hashlib.sha256(encoded(content)).hexdigest()[:8]
        return f"{self.name}-{digest}"

    def request(self, dtype: str = "float64") -> bytes:
        """The protocol's request, one line without its newline, with numbers rounded to ``dtype``.

        Defaults of ``alpha``, ``threshold`` and ``steps`` are written out.
        """
        rounded = self.rounded(dtype)
        body = rounded.as_lists(GivenNumbers.tolist)
        body.pop("name", None)
        for layer in body["network"]["layers"]:
            if layer.get("activation") in DEFAULT_ALPHA:
                layer.setdefault("alpha", DEFAULT_ALPHA[layer["activation"]])
        if self.loss.kind == "huber":
            body["loss"].setdefault("threshold", DEFAULT_THRESHOLD)
        if self.optimizer is not None:
            body.setdefault("steps", self.steps)
            body["optimizer"] = rounded.optimizer.request() if rounded.optimizer else None
        if rounded.regularization is not None:
            body["regularization"] = rounded.regularization.request()
        return msgspec.json.encode({"type": "case", "id": self.id, **body})

    @functools.cached_property
    def features(self) -> list[str]:
        """The features (``supports.features``) that an implementation needs for it."""
        smoothing = ["label_smoothing"] * (self.loss.label_smoothing is not None)
        return features_of(self.optimizer, self.clip, self.regularization) + smoothing + self.network.features

    @property
    def trains(self) -> bool:
        """Whether it tests training, that is, more than plain gradient descent.

        Then each update is judged by what was reported before it.
        """
        about_training = features_of(self.optimizer, self.clip, self.regularization)
        return bool(about_training) or (self.optimizer is not None and self.optimizer.kind != "sgd")

    @property
    def about(self) -> str:
        """``training``, ``layers`` (beyond a chain of dense ones), or ``dense``."""
        return "training" if self.trains else "layers" if self.network.families else "dense"

    @property
    def plain(self) -> bool:
        """Whether its updates, if any, are w⁺ = w − η ∂L/∂w with nothing to remember from step to step."""
        return self.clip is None and (self.optimizer is None or self.optimizer.plain)

    def rounded(self, dtype: str) -> Case:
        """The case with every number rounded to ``dtype``, including the optimizer's defaults.

        Raises ``CaseError`` where a number exceeds the range of float32.
        """
        if dtype == "float64":
            return self
        body = plain(self)
        if self.optimizer is not None:
            body["optimizer"] = self.optimizer.request()
        rounded: Case = msgspec.convert(_rounded(body), Case)
        return rounded

    @classmethod
    def from_json(cls, text: bytes | str, source: str | None = None) -> Case:
        """Read a case from JSON text. Raises ``CaseError`` with the place where it is not valid; ``source`` is
        named first.
        """
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise case_error(error, source) from None
        return cls.from_dict(value, source)

    @classmethod
    def from_dict(cls, value: Any, source: str | None = None) -> Case:
        """Read a case from parsed JSON. Raises ``CaseError`` with the place where it is not valid."""
        try:
            return msgspec.convert(value, cls)
        except CaseError as error:
            raise error.of(source) from None
        except (msgspec.ValidationError, RecursionError) as error:
            raise case_error(error, source) from None

    def to_dict(self) -> dict[str, Any]:
        """The JSON value, including the name. Samples have the shape of the input, targets that of the output."""
        return self.as_lists(as_lists)

    def as_lists(self, of_numbers: Callable[[Any], Any]) -> dict[str, Any]:
        """The JSON value, with what ``of_numbers`` makes of given numbers."""
        value: dict[str, Any] = msgspec.to_builtins(self, enc_hook=of_numbers)
        network, samples = self.network, len(self.inputs)
        indices = any(layer.indices for layer in network.layers)
        if indices or len(network.input_shape) > 1:
            inputs = self.inputs.as_whole() if indices else self.inputs
            value["inputs"] = of_numbers(inputs.reshaped(samples, *network.input_shape))
        if len(network.output_shapes[-1]) > 1:
            value["targets"] = of_numbers(self.targets.reshaped(samples, *network.output_shapes[-1]))
        return value


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        try:
            return struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            raise CaseError("$", "numbers that a float32 can hold", repr(value), code="case-not-float32") from None
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _check(case: Case) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", case.name):
        fail("$.name", "a slug of lower-case letters, digits, '.', '_' and '-'", repr(case.name))
    network = case.network
    check_fields("$.network", network)
    check_fields("$.loss", case.loss)
    check_fields("$", case)
    last = getattr(network.layers[-1], "activation", "identity")
    if last not in NEEDS_OUTPUT.get(case.loss.kind, (last,)):
        fail(
            "$.network.layers[-1].activation",
            f"{' or '.join(NEEDS_OUTPUT[case.loss.kind])} (for the loss {case.loss.kind})",
            repr(last),
        )
    samples = len(case.inputs)
    if not samples:
        fail("$.inputs", "at least one sample", "none")
    _check_samples(case, "inputs", samples, network.input_shape, "one an input")
    _check_samples(case, "targets", samples, network.output_shapes[-1], "one an output neuron")
    _check_loss(case)
    for index, layer in enumerate(network.layers):
        layer.check_batch(f"$.network.layers[{index}]", network.input_shapes[index], case.inputs)
    check_training(case.optimizer, case.clip, case.regularization, case.steps)


def _check_samples(case: Case, field: str, samples: int, shape: Shape, each: str) -> None:
    """A row of numbers for every sample, or numbers of that shape, which become a row."""
    numbers = getattr(case, field)
    if len(shape) > 1 and numbers.shape != (samples, size(shape)):
        flat(f"$.{field}", numbers, (samples, *shape), "one sample")
        msgspec.structs.force_setattr(case, field, numbers.reshaped(samples, size(shape)))
    else:
        as_many = f"{samples} samples, as many as inputs"
        check_rows(f"$.{field}", numbers, (samples, size(shape)), as_many, each)


def _check_loss(case: Case) -> None:
    """The loss's own fields, and the targets of which it takes a logarithm."""
    smoothing, network = case.loss.label_smoothing, case.network
    if case.loss.kind == "kl_divergence":
        for s, least in enumerate(case.targets.values.min(axis=1).tolist()):
            if least < 0:
                fail(f"$.targets[{s}]", "shares of at least 0 (for the loss kl_divergence)", least)
    if smoothing is None:
        return
    if case.loss.kind != "cross_entropy":
        fail("$.loss.label_smoothing", "the loss cross_entropy, whose labels are smoothed", repr(case.loss.kind))
    if network.classes is None:
        fail("$.network.layers[-1].kind", "dense or linear (where labels are smoothed)", network.layers[-1].kind)


__all__ = [
    "ACTIVATIONS",
    "ALL_LOSSES",
    "DEFAULT_ALPHA",
    "DEFAULT_THRESHOLD",
    "LOSSES",
    "NEEDS_OUTPUT",
    "AnyLayer",
    "Case",
    "Layer",
    "LossKind",
    "Matrix",
    "Network",
    "Optimizer",
    "Parameters",
]
