"""The transformer block: attention and a feed-forward part, each with a residual connection and a layer norm."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from backprop_check.fields import Count, Positive, arrays, fail, one_of
from backprop_check.kinds.attention import Causal, Mask, Parts, check_mask, draw_masks
from backprop_check.kinds.heads import Heads
from backprop_check.kinds.kind import Shape, drawn
from backprop_check.kinds.tokens import SEQUENCE, OfTokens, check_parameters, check_tokens, linear, of_every_token
from backprop_check.kinds.wiring import Factor, Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ATTENTION = "self_attn."

#: The activations that φ may be.
_FUNCTIONS = ("relu", "gelu")

#: The parameters and their shapes: E features in a token, F = ``dim_feedforward``. A block has all biases, or none.
_SHAPES = {
    "self_attn.in_proj_weight": ("3E", "E"),
    "self_attn.in_proj_bias": ("3E",),
    "self_attn.out_proj.weight": ("E", "E"),
    "self_attn.out_proj.bias": ("E",),
    "linear1.weight": ("F", "E"),
    "linear1.bias": ("F",),
    "linear2.weight": ("E", "F"),
    "linear2.bias": ("E",),
    "norm1.weight": ("E",),
    "norm1.bias": ("E",),
    "norm2.weight": ("E",),
    "norm2.bias": ("E",),
}
_INDEXES = {name: "".join(f"[{size}]" for size in shape) for name, shape in _SHAPES.items()}
_ARRAYS = arrays(
    {name: indexes for name, indexes in _INDEXES.items() if name.endswith("weight")},
    {name: indexes for name, indexes in _INDEXES.items() if name.endswith("bias")},
)


class TransformerBlock(OfTokens, frozen=True, kw_only=True, tag="transformer_block"):
    """PyTorch's ``TransformerEncoderLayer`` (batch first, no dropout), with its names of the parameters.

    With A the multi-head attention, F(x) = linear2(φ(linear1(x))) and N₁, N₂ the layer norms over a token's features: y
    = N₁(x + A(x)), a = N₂(y + F(y)); or, with ``norm_first``, y = x + A(N₁(x)), a = y + F(N₂(y)). ``activation`` is φ:
    relu or gelu. All biases (those of the norms too) may be absent. ``src_key_padding_mask`` [sample][token]: true
    where a token is ignored as a key.
    """

    nhead: Count
    dim_feedforward: Count
    parameters: Annotated[dict[str, Any], _ARRAYS]
    activation: Annotated[str, one_of(_FUNCTIONS)] = "relu"
    norm_first: bool = False
    layer_norm_eps: Positive = 1e-5
    is_causal: Causal = False
    src_key_padding_mask: Mask | None = None

    activations: ClassVar[tuple[str, ...]] = _FUNCTIONS
    drawn_activations: ClassVar[tuple[str, ...]] = activations

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where the input is no sequence, the heads do not divide its features, or a parameter has
        not its shape.
        """
        check_tokens(path, inputs)
        if inputs[1] % self.nhead:
            fail(f"{path}.nhead", f"a divisor of {inputs[1]} features", self.nhead)
        check_parameters(path, self.parameters, self.parameter_shapes(inputs))

    def form(self, inputs: Shape) -> Heads:
        """The sizes of its attention."""
        return Heads(self.nhead, inputs[0], inputs[0], inputs[1], inputs[1], self.is_causal)

    def check_batch(self, path: str, inputs: Shape, samples: Sequence[Sequence[float]]) -> None:
        """Raises ``CaseError`` where the padding mask does not suit the batch."""
        check_mask(f"{path}.src_key_padding_mask", self.src_key_padding_mask, self.form(inputs), len(samples))

    def of_samples(self, samples: Sequence[int]) -> TransformerBlock:
        """The same layer with the masks of these samples."""
        if self.src_key_padding_mask is None:
            return self
        kept = tuple(self.src_key_padding_mask[s] for s in samples)
        return msgspec.structs.replace(self, src_key_padding_mask=kept)

    def products(self, inputs: Shape) -> int:
        """One softmax group per score."""
        heads: int = getattr(self, "nhead", 1)
        return heads * inputs[0] ** 3

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """Those of PyTorch's ``state_dict``."""
        shapes = all_shapes(inputs[1], self.dim_feedforward)
        if any(name.endswith("bias") for name in self.parameters):
            return shapes
        return {name: shape for name, shape in shapes.items() if not name.endswith("bias")}

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Norms first and last, with and without biases and masks."""
        if len(inputs) != SEQUENCE or inputs[1] < 3:  # noqa: PLR2004 - a norm of two numbers is ±1, whatever they are
            return None
        masks, hidden = draw_masks(draw, inputs[0], samples), draw.whole(2, 5)
        if "key_padding_mask" in masks:
            masks["src_key_padding_mask"] = masks.pop("key_padding_mask")
        biased = draw.whole(1, 4) > 1
        parameters = {}
        for name, shape in all_shapes(inputs[1], hidden).items():
            if name.endswith("bias"):
                if biased:
                    parameters[name] = drawn(draw, shape, 0.5)
            elif name.startswith("norm"):
                parameters[name] = [round(1.0 + draw.number(0.4), 3) for _ in range(shape[0])]
            else:
                parameters[name] = drawn(draw, shape, 1.0 / shape[1] ** 0.5)
        eps = draw.one_of(({}, {"layer_norm_eps": 0.01}))
        return {
            "kind": "transformer_block",
            "nhead": draw.one_of([each for each in range(1, inputs[1] + 1) if inputs[1] % each == 0]),
            "dim_feedforward": hidden,
            "activation": draw.one_of(cls.activations),
            "norm_first": bool(draw.whole(0, 1)),
            **masks,
            **eps,
            "parameters": parameters,
        }

    @classmethod
    def draw_wired(cls, draw: Any, inputs: Shape, samples: int) -> list[dict[str, Any]] | None:
        """After a linear layer, whose gradients show what flows back out of the block."""
        block = cls.draw(draw, inputs, samples)
        return None if block is None else [linear(draw, inputs[1], inputs[1], "tanh"), block]

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """The equations with the right parts."""
        return self.worked(c, x, parameters, inputs, BlockParts())

    def worked(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape, parts: BlockParts) -> Any:
        """Attention and the feed-forward part, each added to what it read; ``parts`` are their formulas."""
        own = {name.removeprefix(_ATTENTION): p for name, p in parameters.items() if name.startswith(_ATTENTION)}
        form, mask = self.form(inputs), self.src_key_padding_mask

        def attention(x: Any) -> Any:
            return parts.multihead(c, (x, x, x), own, (inputs, inputs, inputs), form, mask)[0]

        def feedforward(x: Any) -> Any:
            hidden, (tokens, width) = self.dim_feedforward, inputs
            weight, bias = parameters["linear1.weight"], parameters.get("linear1.bias")
            z = of_every_token(c, x, weight, bias, inputs, hidden, "linear1")
            h = c.function(self.activation, z, role="hidden")
            weight, bias = parameters["linear2.weight"], parameters.get("linear2.bias")
            return of_every_token(c, h, weight, bias, (tokens, hidden), width, "linear2")

        def norm(number: int, x: Any) -> Any:
            scale, shift = parameters[f"norm{number}.weight"], parameters.get(f"norm{number}.bias")
            return normalized(c, x, inputs, scale, shift, self.layer_norm_eps)

        for number, part in ((1, attention), (2, feedforward)):
            if self.norm_first:
                read = norm(number, x)
                x = parts.around(c, number, x, read, part(read))
            else:
                x = norm(number, parts.around(c, number, x, x, part(x)))
        return c.output(x)


class BlockParts(Parts):
    """The formulas of a block: those of attention, and the residual connections."""

    def around(self, c: Any, number: int, x: Any, read: Any, part: Any) -> Any:
        """x + part, where part 1 is the attention and 2 the feed-forward part; ``read`` is what the part read: x
        or its norm.
        """
        del read
        return c.add([x, part], role=f"residual{number}")


def all_shapes(width: int, hidden: int) -> dict[str, Shape]:
    """The shapes of all parameters of a block with ``width`` features and ``hidden`` feed-forward units."""
    sizes = {"E": width, "3E": 3 * width, "F": hidden}
    return {name: tuple(sizes[size] for size in shape) for name, shape in _SHAPES.items()}


def normalized(c: Any, x: Any, shape: Shape, scale: Any, shift: Any, eps: float) -> Any:
    """Layer norm of every token: (x − mean) / √(variance + ε) · scale + shift, where the variance has the divisor n."""
    tokens, width = shape
    wirings = norm_of(tokens, width)
    share = c.constant([1.0 / width])
    mean = c.weighted_sum([(x, share, wirings["mean"])], role="mean")
    off = c.weighted_sum([(x, None, wirings["each"]), (mean, c.constant([-1.0]), wirings["token"])], role="deviation")
    squares = c.multiply(off, off, role="squares")
    variance = c.weighted_sum([(squares, share, wirings["mean"])], role="variance")
    root = c.function("reciprocal_root", variance, eps, role="root")
    normal = c.weighted_sum([(off, root, wirings["scaled"])], role="normal")
    biases = [] if shift is None else [(shift, [e for _ in range(tokens) for e in range(width)])]
    return c.weighted_sum([(normal, scale, wirings["learned"])], biases=biases, role="norm")


@functools.lru_cache(maxsize=64)
def norm_of(tokens: int, width: int) -> dict[str, Wiring]:
    """The wirings of a layer norm: unit (t, e), and one mean, variance and root per token."""
    units = tokens * width
    features, of_tokens, scalar = ("te", (tokens, width), units), ("t", (tokens,), tokens), ("", (), 1)
    sums = {
        "mean": (features, scalar, of_tokens),
        "each": (features, scalar, features),
        "token": (of_tokens, scalar, features),
        "scaled": (features, of_tokens, features),
        "learned": (features, ("e", (width,), width), features),
    }
    return {name: Wiring.of_product(*(Factor(*each) for each in factors)) for name, factors in sums.items()}
