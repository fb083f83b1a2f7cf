"""Layers on sequences of tokens: linear layers that treat every token alike, positions, and parts of a sequence.

A sample is ``[token][feature]``. These layers do not flatten it, as a dense layer does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from backprop_check.fields import Count, Size, arrays, fail, more_than
from backprop_check.functions.names import ALL_ACTIVATIONS
from backprop_check.kinds.kind import Activation, Alpha, Ending, Kind, Shape, drawn, flat, nested, size
from backprop_check.kinds.wiring import Index, Wiring, picking, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The names of the indexes of a sequence's units; attention scores have three.
TOKENS: dict[int, tuple[str, ...]] = {1: ("feature",), 2: ("token", "feature"), 3: ("head", "query", "key")}

#: A sequence of tokens has two indexes: token and feature.
SEQUENCE = 2

_ACTIVATIONS = ("identity", "tanh", "relu", "sigmoid", "gelu", "silu", "softmax")

#: The error of an angle p / b^(2i/d), in units of u times the angle: it may be computed as p · e^(−ln b · 2i/d).
_OF_ANGLE = 64.0


class OfTokens(Kind, frozen=True):
    """A layer that reads a sequence of tokens."""

    family: ClassVar[str] = "attention"
    places: ClassVar[Mapping[int, tuple[str, ...]]] = TOKENS

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """A few tokens of a few features."""
        return draw.whole(2, 5), draw.one_of((2, 3, 4, 4, 6))

    @classmethod
    def draw_end(cls, draw: Any, inputs: Shape, losses: Sequence[str], features: Sequence[str]) -> Ending | None:
        """A softmax at every token, and a loss that is summed over the tokens."""
        return sequence_end(draw, inputs, losses, features)


def check_parameters(path: str, parameters: Mapping[str, Any], shapes: Mapping[str, Shape]) -> None:
    """Raises ``CaseError`` unless the layer has exactly the parameters named in ``shapes``, each of its shape."""
    if set(parameters) != set(shapes):
        fail(f"{path}.parameters", ", ".join(shapes), ", ".join(parameters) or "none")
    for name, shape in shapes.items():
        flat(f"{path}.parameters.{name}", parameters[name], shape, name)


def check_tokens(path: str, inputs: Any) -> None:
    """Raises ``CaseError`` unless a sample is a sequence of tokens, that is, has two indexes."""
    if len(inputs) != SEQUENCE:
        fail(path, "an input of tokens and features", inputs)


class Linear(OfTokens, frozen=True, kw_only=True, tag="linear"):
    """z[t, o] = Σᵢ w[o, i] x[t, i] + b[o], a = φ(z): the same neurons read every token.

    PyTorch's ``Linear``: ``weight`` is [out_features, in_features], ``bias`` [out_features] or absent. The sum runs
    over the last index of a sample; a softmax runs over the features of each token.
    """

    out_features: Count
    parameters: Annotated[
        dict[str, Any], arrays({"weight": "[out_features][in_features]"}, {"bias": "[out_features], or absent"})
    ]
    activation: Activation = "identity"
    alpha: Alpha | None = None

    reported: ClassVar[tuple[str, ...]] = ("z", "a")
    one_sum: ClassVar[bool] = True
    activations: ClassVar[tuple[str, ...]] = ALL_ACTIVATIONS
    drawn_activations: ClassVar[tuple[str, ...]] = _ACTIVATIONS

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless ``weight``, and ``bias`` if there is one, have the right shapes."""
        check_parameters(path, self.parameters, self.parameter_shapes(inputs))

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the input, with ``out_features`` as its last index."""
        return (*inputs[:-1], self.out_features)

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """``weight`` and, where there is one, ``bias``."""
        bias = {"bias": (self.out_features,)} if "bias" in self.parameters else {}
        return {"weight": (self.out_features, inputs[-1]), **bias}

    def classes(self, inputs: Shape) -> int | None:
        """A softmax runs over the features of a token."""
        del inputs
        return self.out_features

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Any activation, with and without a bias."""
        del samples
        return linear(draw, inputs[-1], draw.whole(2, 4), draw.one_of(_ACTIVATIONS), bias=draw.whole(1, 4) > 1)

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """z = W x + b and a = φ(z) for every token."""
        z = of_every_token(c, x, parameters["weight"], parameters.get("bias"), inputs, self.out_features, "z")
        c.show(z)
        tokens = size(inputs[:-1])
        return c.output(c.activate(self.activation, z, self.alpha, lambda: by_token(tokens, self.out_features)), z)


class PositionalEncoding(OfTokens, frozen=True, kw_only=True, tag="positional_encoding"):
    """a[p, 2i] = x[p, 2i] + sin(p / base^(2i/d)), a[p, 2i + 1] = x[p, 2i + 1] + cos(p / base^(2i/d)).

    Positions p are counted from 0; d is the number of features of a token (Vaswani et al. 2017, section 3.5).
    """

    base: Annotated[float, more_than(1)] = 10000.0

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless the input is a sequence of tokens."""
        check_tokens(path, inputs)

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """The usual base, or a smaller one."""
        del samples
        base = draw.one_of(({}, {"base": 100.0}))
        return {"kind": "positional_encoding", **base} if len(inputs) == SEQUENCE else None

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = x + the encoding, which depends only on the position."""
        del parameters
        return self.worked(c, x, inputs, wave)

    def worked(self, c: Any, x: Any, inputs: Shape, wave: Wave) -> Any:
        """The equations with another encoding: ``wave(p, e, d, base)`` returns its value for feature e of d, and
        the angle.
        """
        waves = [wave(p, e, inputs[1], self.base) for p in range(inputs[0]) for e in range(inputs[1])]
        # An implementation computes the encoding itself: the bound covers the error of the angle and of sin or cos.
        added = c.constant([a for a, _ in waves], [_OF_ANGLE * angle + 4.0 * (angle > 0) for _, angle in waves])
        a = c.weighted_sum([(x, None, picking(x.units, range(x.units)))], [(added, range(x.units))], role="positioned")
        return c.output(a)


Wave = Callable[[int, int, int, float], tuple[float, float]]


def wave(p: int, e: int, width: int, base: float) -> tuple[float, float]:
    """The encoding and its angle p / base^(2i/d), with e = 2i or 2i + 1: its sine for even e, its cosine for odd e."""
    angle = p / base ** (2 * (e // 2) / width)
    return (math.cos if e % 2 else math.sin)(angle), angle


class LearnedPositions(OfTokens, frozen=True, kw_only=True, tag="learned_positions"):
    """a[p, e] = x[p, e] + weight[p, e]: PyTorch's ``Embedding`` of the positions 0, 1, …, added to the input.

    ``weight`` is [num_embeddings, features]; rows beyond the length of the sequence have gradient 0.
    """

    num_embeddings: Count
    parameters: Annotated[dict[str, Any], arrays({"weight": "[position][feature]"})]

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless ``weight`` has the right shape and a row for every token."""
        check_tokens(path, inputs)
        if self.num_embeddings < inputs[0]:
            fail(f"{path}.num_embeddings", f"at least {inputs[0]} positions", self.num_embeddings)
        check_parameters(path, self.parameters, self.parameter_shapes(inputs))

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """weight[position][feature]."""
        return {"weight": (self.num_embeddings, inputs[1])}

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """As many rows as tokens, or one more."""
        del samples
        if len(inputs) != SEQUENCE:
            return None
        count = inputs[0] + draw.whole(0, 1)
        weight = drawn(draw, (count, inputs[1]), 0.8)
        return {"kind": "learned_positions", "num_embeddings": count, "parameters": {"weight": weight}}

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = x + weight, position by position."""
        del inputs
        places = range(x.units)
        return c.output(
            c.weighted_sum([(x, None, picking(x.units, places))], [(parameters["weight"], places)], role="positioned")
        )


class Narrow(OfTokens, frozen=True, kw_only=True, tag="narrow"):
    """The ``length`` tokens from ``start`` on: PyTorch's ``narrow`` along a sample's first index."""

    start: Size
    length: Count

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where ``start`` or ``length`` lead beyond the sequence."""
        if self.start >= inputs[0]:
            fail(f"{path}.start", f"from 0 to {inputs[0] - 1}", self.start)
        if self.length > inputs[0] - self.start:
            fail(f"{path}.length", f"from 1 to {inputs[0] - self.start}", self.length)

    def output_shape(self, inputs: Shape) -> Shape:
        """``length`` tokens."""
        return (self.length, *inputs[1:])

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Any part of the sequence."""
        del samples
        start = draw.whole(0, inputs[0] - 1)
        return {"kind": "narrow", "start": start, "length": draw.whole(1, inputs[0] - start)}

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a[t] = x[start + t]."""
        del parameters
        step = size(inputs[1:])
        return c.output(c.pick(x, range(self.start * step, (self.start + self.length) * step), role="part"))


def of_every_token(c: Any, x: Any, weight: Any, bias: Any, inputs: Shape, features: int, role: str) -> Any:
    """The table W x + b for every token x; ``features`` are the rows of W that are used."""
    tokens = size(inputs[:-1])
    wiring = token_by_token(tokens, inputs[-1], features, 0, features)
    biases = [] if bias is None else [(bias, [o for _ in range(tokens) for o in range(features)])]
    return c.weighted_sum([(x, weight, wiring)], biases=biases, role=role)


def token_by_token(tokens: int, width: int, features: int, first: int, rows: int) -> Wiring:
    """z[t, o] = Σᵢ w[first + o, i] x[t, i]: the wiring of ``of_every_token``, for a matrix w with ``rows`` rows."""
    return rows_of(features, width, rows, first, tokens)


def by_token(tokens: int, features: int) -> Index:
    """For every unit, all units of its token: the groups of a softmax."""
    return Index.blocks(tokens, features)


def linear(draw: Any, fan_in: int, features: int, activation: str, *, bias: bool = True) -> dict[str, Any]:
    """A random linear layer as JSON, with numbers of few digits."""
    parameters = {"weight": drawn(draw, (features, fan_in), 1.6 / fan_in**0.5)}
    if bias:
        parameters["bias"] = drawn(draw, (features,), 0.5)
    return {"kind": "linear", "out_features": features, "activation": activation, "parameters": parameters}


def sequence_end(draw: Any, inputs: Shape, losses: Sequence[str], features: Sequence[str]) -> Ending | None:
    """A softmax (or its logarithm) at every token, and a loss summed over the tokens; None where no loss suits."""
    named = {"cross_entropy": "softmax", "negative_log_likelihood": "log_softmax", "kl_divergence": "log_softmax"}
    suitable = [loss for loss in named if loss in losses]
    if len(inputs) != SEQUENCE or not suitable:
        return None
    loss, classes, tokens = draw.one_of((*suitable[:1], *suitable)), draw.whole(2, 3), inputs[0]
    smoothing = {}
    if loss == "cross_entropy" and "label_smoothing" in features and draw.whole(0, 3):
        smoothing = {"label_smoothing": draw.one_of((0.1, 0.2, 0.3))}

    def target() -> Any:
        rows = []
        for _ in range(tokens):
            shares = [draw.whole(1, 12) for _ in range(classes)]
            if draw.whole(0, 2):
                shares = [0] * classes
                shares[draw.whole(0, classes - 1)] = 1
            rows += [share / sum(shares) for share in shares]
        return nested(rows, (tokens, classes))

    return Ending([linear(draw, inputs[1], classes, named[loss])], {"kind": loss, **smoothing}, target)
