"""Network, Layer, Case: what is asked of an implementation. Immutable, checked when made, JSON in and out.

A case's JSON is the protocol's request without ``type`` and ``id``. Its id is a readable slug and a hash of
that content, so the same case has the same id for ever and a changed case another.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
import struct
from typing import Any, Literal, NoReturn

import msgspec

from backprop_check.errors import CaseError
from backprop_check.training import Clip, Optimizer, Regularization, check_training, features_of

ACTIVATIONS = (
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "softsign", "silu", "gelu",
    "hard_tanh", "softmax", "log_softmax",
)  # fmt: skip
LOSSES = (
    "half_squared_error", "squared_error", "mean_squared_error", "mean_absolute_error", "huber",
    "binary_cross_entropy", "cross_entropy", "negative_log_likelihood", "hinge",
)  # fmt: skip

#: The output activations a loss needs; every other loss takes any.
NEEDS_OUTPUT = {
    "binary_cross_entropy": ("sigmoid", "softmax"),
    "cross_entropy": ("softmax",),
    "negative_log_likelihood": ("log_softmax",),
}

#: α and Huber's threshold where a case does not give them, as PyTorch has them.
DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}
DEFAULT_THRESHOLD = 1.0

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Unknown fields are errors: a misspelt one must not be passed over."""


class Parameters(_Strict, frozen=True):
    """``weights[j][i]``: from input i into neuron j; ``biases[j]``."""

    weights: Matrix
    biases: Vector


class Layer(_Strict, frozen=True):
    """A dense layer: ``units`` neurons that read all of the layer before."""

    kind: Literal["dense"]
    units: int
    activation: str
    parameters: Parameters
    alpha: float | None = None
    name: str | None = None


class Network(_Strict, frozen=True):
    """Layers one after the other, reading ``inputs`` numbers."""

    inputs: int
    layers: tuple[Layer, ...]

    def names(self) -> list[str]:
        """A name for each layer: its own, or hidden1, hidden2, …, output."""
        last = len(self.layers) - 1
        return [
            layer.name or ("output" if index == last else f"hidden{index + 1}")
            for index, layer in enumerate(self.layers)
        ]

    def shape(self) -> str:
        """``3x4x2``: inputs, then the units of every layer."""
        return "x".join(str(n) for n in (self.inputs, *(layer.units for layer in self.layers)))


class LossKind(_Strict, frozen=True):
    """Which loss, with Huber's threshold."""

    kind: str
    threshold: float | None = None


class Case(_Strict, frozen=True, dict=True):
    """A network, a batch and a loss; with an optimizer, updated parameters are asked for too.

    Raises ``CaseError`` with the JSON path, what was expected and what came.
    """

    network: Network
    loss: LossKind
    reduction: Literal["mean", "sum"]
    inputs: Matrix
    targets: Matrix
    optimizer: Optimizer | None = None
    steps: int = 1
    name: str = "case"
    clip: Clip | None = None
    regularization: Regularization | None = None

    def __post_init__(self) -> None:
        _check(self)

    @functools.cached_property
    def id(self) -> str:
        """Slug and content hash, ASCII: ``mazur-2x2x2-1c2d3e4f``."""
        optimizer = None if self.optimizer is None else self.optimizer.whole()
        penalty = None if self.regularization is None else self.regularization.whole()
        content = msgspec.structs.replace(self, name="case", optimizer=optimizer, regularization=penalty)
        digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:8]
        return f"{self.name}-{digest}"

    def request(self, dtype: str = "float64") -> bytes:
        """The protocol's request, one line without its newline, numbers rounded to ``dtype``.

        Nothing is implied: a default of ``alpha``, ``threshold`` or ``steps`` is written out.
        """
        rounded = self.rounded(dtype)
        body = msgspec.to_builtins(rounded)
        body.pop("name", None)
        for layer in body["network"]["layers"]:
            if layer["activation"] in DEFAULT_ALPHA:
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
        """What of ``supports.features`` an implementation needs for it."""
        return features_of(self.optimizer, self.clip, self.regularization)

    @property
    def trains(self) -> bool:
        """Whether it goes beyond level 1: another optimizer than plain gradient descent, or anything beside it."""
        return bool(self.features) or (self.optimizer is not None and self.optimizer.kind != "sgd")

    @property
    def plain(self) -> bool:
        """Whether its updates, if it has any, are w⁺ = w − η ∂L/∂w with no more to remember from step to step."""
        return self.clip is None and (self.optimizer is None or self.optimizer.plain)

    def rounded(self, dtype: str) -> Case:
        """The case with every number rounded to ``dtype``, an optimizer's defaults too."""
        if dtype == "float64":
            return self
        body = msgspec.to_builtins(self)
        if self.optimizer is not None:
            body["optimizer"] = self.optimizer.request()
        rounded: Case = msgspec.convert(_rounded(body), Case)
        return rounded

    @classmethod
    def from_json(cls, text: bytes | str, source: str | None = None) -> Case:
        """Read a case; raises ``CaseError`` naming the place."""
        try:
            return msgspec.json.decode(text, type=cls)
        except CaseError as error:
            raise CaseError(error.path, error.expected, error.got, source) from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise case_error(error, source) from None

    @classmethod
    def from_dict(cls, value: Any, source: str | None = None) -> Case:
        """The same from parsed JSON."""
        try:
            return msgspec.convert(value, cls)
        except CaseError as error:
            raise CaseError(error.path, error.expected, error.got, source) from None
        except (msgspec.ValidationError, RecursionError) as error:
            raise case_error(error, source) from None

    def to_dict(self) -> dict[str, Any]:
        """The JSON value, name included."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value


_EXPECTED = re.compile(r"Expected (?P<expected>.*?)(?:, got (?P<got>.*?))?(?: - at `(?P<path>.*)`)?$")
_OTHER = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)


def case_error(error: Exception, source: str | None = None) -> CaseError:
    """msgspec's message as ours: path, expected, got."""
    text = str(error) or type(error).__name__
    found = _EXPECTED.match(text)
    if found:
        expected, got = (
            found["expected"].replace("`", ""),
            (found["got"] or "something else").replace("`", ""),
        )
        return CaseError(found["path"] or "$", expected, got, source)
    other = _OTHER.match(text)
    what, path = (other["what"], other["path"]) if other else (text, None)
    return CaseError(path or "$", "a case as the protocol describes it", what.replace("`", "'"), source)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        try:
            return struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            raise CaseError("$", "numbers that a float32 can hold", repr(value)) from None
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _fail(path: str, expected: str, got: object) -> NoReturn:
    raise CaseError(path, expected, str(got))


def _check_numbers(path: str, row: Vector, length: int, what: str) -> None:
    if len(row) != length:
        _fail(path, f"{length} numbers ({what})", f"{len(row)}")
    if not all(map(math.isfinite, row)):
        at = next(i for i, x in enumerate(row) if not math.isfinite(x))
        _fail(f"{path}[{at}]", "a finite number", row[at])


def _check_layer(path: str, layer: Layer, width: int) -> None:
    if layer.units < 1:
        _fail(f"{path}.units", "at least 1 neuron", layer.units)
    if layer.activation not in ACTIVATIONS:
        _fail(f"{path}.activation", f"one of {', '.join(ACTIVATIONS)}", repr(layer.activation))
    if layer.alpha is not None and not (math.isfinite(layer.alpha) and layer.alpha >= 0):
        _fail(f"{path}.alpha", "a number of at least 0", layer.alpha)
    weights = layer.parameters.weights
    if len(weights) != layer.units:
        _fail(f"{path}.parameters.weights", f"{layer.units} rows, one a neuron", f"{len(weights)}")
    for j, row in enumerate(weights):
        _check_numbers(f"{path}.parameters.weights[{j}]", row, width, "one weight an input")
    _check_numbers(f"{path}.parameters.biases", layer.parameters.biases, layer.units, "one bias a neuron")


def _check(case: Case) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", case.name):
        _fail("$.name", "a slug of lower-case letters, digits, '.', '_' and '-'", repr(case.name))
    width = case.network.inputs
    if width < 1:
        _fail("$.network.inputs", "at least 1 input", width)
    if not case.network.layers:
        _fail("$.network.layers", "at least one layer", "none")
    for index, layer in enumerate(case.network.layers):
        _check_layer(f"$.network.layers[{index}]", layer, width)
        width = layer.units
    if case.loss.kind not in LOSSES:
        _fail("$.loss.kind", f"one of {', '.join(LOSSES)}", repr(case.loss.kind))
    if case.loss.threshold is not None and not 0 < case.loss.threshold < math.inf:
        _fail("$.loss.threshold", "a positive number", case.loss.threshold)
    last = case.network.layers[-1].activation
    if last not in NEEDS_OUTPUT.get(case.loss.kind, (last,)):
        _fail(
            "$.network.layers[-1].activation",
            f"{' or '.join(NEEDS_OUTPUT[case.loss.kind])} (for the loss {case.loss.kind})",
            repr(last),
        )
    if case.steps < 1:
        _fail("$.steps", "at least 1 step", case.steps)
    if not case.inputs:
        _fail("$.inputs", "at least one sample", "none")
    if len(case.targets) != len(case.inputs):
        _fail("$.targets", f"{len(case.inputs)} samples, as many as inputs", len(case.targets))
    for s, (x, t) in enumerate(zip(case.inputs, case.targets, strict=True)):
        _check_numbers(f"$.inputs[{s}]", x, case.network.inputs, "one an input")
        _check_numbers(f"$.targets[{s}]", t, width, "one an output neuron")
    check_training(case.optimizer, case.clip, case.regularization, case.steps)
