"""BP701 to BP708: convolution.

Most of these are a right sum over wrong links: the kernel reversed, the stride or the padding forgotten, all but one of
the windows lost. A mistake gives the wrong links (``links``, a wiring), and the sums that use them: forward (``z``), in
the input's gradient (``x``), in the weight's gradient (``weights``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, variant, variants, written
from backprop_check.diagnose.links import (
    CONVOLUTIONS,
    STRAIGHT,
    TRANSPOSED,
    OfConvolution,
    OtherLinks,
    flipped,
    last_written,
    layers_of,
    moved,
    of_one_input,
    of_positions,
    one_channel,
    swapped_channels,
    wiring_of,
)
from backprop_check.kinds.kind import size

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.diagnose.bug import Variant
    from backprop_check.kinds.wiring import Wiring


class Flipped(OtherLinks):
    """w[K − 1 − k] in place of w[k]."""

    along: ClassVar[tuple[int, ...]] = (0, 1)

    def links(self, rule: Any) -> Wiring:
        kernel = rule.spec.kernel_size
        return flipped(wiring_of(rule), kernel, tuple(axis for axis in self.along if axis < len(kernel)))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(layer.kind in cls.kinds and max(layer.kernel_size) > 1 for layer in layers_of(case))


class OverlapOverwritten(OtherLinks):
    """dx[window] = w · δ in place of +=."""

    kinds: ClassVar[tuple[str, ...]] = STRAIGHT
    __order: ClassVar[str] = "channel"

    def links(self, rule: Any) -> Wiring:
        return last_written(wiring_of(rule), size(rule.spec.output_shape(rule.inputs)[1:]), self.__order, "x")


class OutputOverwritten(OtherLinks):
    """out[window] = w · x in place of +=, in a transposed convolution."""

    kinds: ClassVar[tuple[str, ...]] = TRANSPOSED
    where = ("z",)
    __order: ClassVar[str] = "channel"

    def links(self, rule: Any) -> Wiring:
        return last_written(wiring_of(rule), size(rule.inputs[1:]), self.__order, "z")


class StrideIgnored(OtherLinks):
    """Window o begins at o in place of o·stride."""

    where = ("x", "weights")

    def links(self, rule: Any) -> Wiring:
        return moved(rule, stride=(1,) * len(rule.spec.stride))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(layer.kind in cls.kinds and max(layer.stride) > 1 for layer in layers_of(case))


class OtherStride(OtherLinks):
    """Window o begins at o times a wrong stride: 1 along one axis, that of the other axis, or one too large."""

    where = ("x", "weights")
    form: ClassVar[str] = "rows"

    @classmethod
    def stride(cls, stride: tuple[int, ...]) -> tuple[int, ...]:
        """The wrong stride."""
        first, last = stride[0], stride[-1]
        if cls.form == "larger":
            return tuple(each + (each > 1) for each in stride)
        if len(stride) == 1:
            return stride
        return {
            "rows": (1, last),
            "columns": (first, 1),
            "rows' for both": (first, first),
            "columns' for both": (last, last),
            "exchanged": (last, first),
        }[cls.form]

    def links(self, rule: Any) -> Wiring:
        return moved(rule, stride=self.stride(rule.spec.stride))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(layer.kind in cls.kinds and cls.stride(layer.stride) != layer.stride for layer in layers_of(case))


class PaddingNotCropped(OtherLinks):
    """∂L/∂x is a part of the padded gradient that begins at its corner instead of where the input begins."""

    kinds: ClassVar[tuple[str, ...]] = STRAIGHT
    __times: ClassVar[int] = 0

    def links(self, rule: Any) -> Wiring:
        return moved(rule, padding=tuple(self.__times * p for p in rule.spec.padding))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(layer.kind in cls.kinds and max(layer.padding) > 0 for layer in layers_of(case))


class BiasOfOnePosition(OfConvolution):
    """∂L/∂b = δ of one position in place of the sum."""

    at: ClassVar[int] = -1

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if role[0] != "bias" or not self.is_mine(rule):
            return super().share(rule, role, s, i)
        bias, of = rule.biases[role[1]]
        units = of.by_place(bias.units).rows
        return rule.out.error[s, of_positions(tuple(row[self.at] for row in units))[i]], None


class ChannelsTransposed(OtherLinks):
    """w[i, c] in place of w[c, i]; it raises no error where a layer has as many output as input channels."""

    def links(self, rule: Any) -> Wiring:
        spec, inputs = rule.spec, rule.inputs
        depth = inputs[0] // spec.groups
        if depth != spec.out_channels // spec.groups:
            return wiring_of(rule)
        return swapped_channels(wiring_of(rule), depth, size(spec.kernel_size))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(
            layer.kind in cls.kinds and inputs[0] == layer.out_channels > layer.groups
            for layer, inputs in zip(layers_of(case), case.network.input_shapes, strict=True)
        )


class KernelOfOneChannel(OtherLinks):
    """w[c, 0] for every input channel."""

    kinds: ClassVar[tuple[str, ...]] = STRAIGHT
    where = ("z",)

    def links(self, rule: Any) -> Wiring:
        depth = rule.inputs[0] // rule.spec.groups
        return one_channel(wiring_of(rule), depth, size(rule.spec.kernel_size), 0)


class InputOfOneChannel(OtherLinks):
    """∂L/∂w[c, i] computed from input channel 0 for every i."""

    kinds: ClassVar[tuple[str, ...]] = STRAIGHT
    where = ("weights",)

    def links(self, rule: Any) -> Wiring:
        spec, inputs = rule.spec, rule.inputs
        return of_one_input(wiring_of(rule), inputs[0] // spec.groups, size(inputs[1:]), size(spec.kernel_size))


class DividedByArea(OfConvolution):
    """∂L/∂w (and ∂L/∂b) divided by the number of positions."""

    __roles: ClassVar[tuple[str, ...]] = ("weights", "bias")
    by_kernel: ClassVar[bool] = False

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        errors, slopes = super().share(rule, role, s, i)
        if role[0] not in self.__roles or not self.is_mine(rule):
            return errors, slopes
        shape = rule.spec.kernel_size if self.by_kernel else rule.spec.output_shape(rule.inputs)[1:]
        area = self.m.number(float(size(shape)))
        return self.m.vector(lambda error: error / area, errors), slopes


_WHERE = {"x": "in the input's gradient", "weights": "in the weight's gradient", "both": "in both gradients"}


BUGS = (
    Bug(
        code="BP701",
        name="conv-kernel-not-flipped",
        sentence="In the backward pass the kernel is applied to δ in the wrong order: the input's gradient needs it"
        " flipped.",
        right="∂L/∂x[i, y] = Σ w[c, i, k] · δ[c, y − k]",
        wrong="∂L/∂x[i, y] = Σ w[c, i, K − 1 − k] · δ[c, y − k]",
        stays_right="the forward pass, the gradients of weight and bias; with a kernel that is the same from both ends, all",
        fix="correlate δ (padded all around) with the kernel flipped along every axis, or add w[k]·δ[o] to dx[o·stride + k]",
        example="dx = correlate(pad(delta), w)              # BP701\n"
        "dx = correlate(pad(delta), w[::-1, ::-1])  # right\n",
        confused_with=("BP702", "BP707"),
        variants=variants(
            variant(Flipped, where=("x",)),
            variant(Flipped, "along the rows only", where=("x",), along=(0,), usual=False),
            variant(Flipped, "along the columns only", where=("x",), along=(1,), usual=False),
        ),
    ),
    Bug(
        code="BP702",
        name="conv-kernel-flipped-forward",
        sentence="The kernel is flipped in the forward pass: that is a true convolution, but what neural networks call"
        " convolution is a cross-correlation.",
        right="z[c, y, x] = Σ w[c, i, ky, kx] · in[i, y + ky, x + kx] + b[c]",
        wrong="z[c, y, x] = Σ w[c, i, K − 1 − ky, K − 1 − kx] · in[i, y + ky, x + kx] + b[c]",
        stays_right="with a kernel that is the same from both ends, everything; the bias's gradient follows δ",
        fix="read the kernel in the order of the window: w[ky][kx] meets in[y + ky][x + kx]",
        example='z = scipy.signal.convolve2d(x, w, "valid")   # BP702\n'
        'z = scipy.signal.correlate2d(x, w, "valid")  # right\n',
        confused_with=("BP701",),
        variants=variants(
            variant(Flipped, "forward only", where=("z",)),
            variant(Flipped, "forward and backward alike", where=("z", "x", "weights")),
            variant(Flipped, "forward and in the input's gradient", where=("z", "x"), usual=False),
            variant(Flipped, "in the weight's gradient", where=("weights",), usual=False),
        ),
    ),
    Bug(
        code="BP703",
        name="conv-overlap-overwritten",
        sentence="Where windows overlap, only the last one counts for an input: = was written instead of +=.",
        right="∂L/∂x[i, y] = Σ over all c and o with o·stride + k = y of w[c, i, k] · δ[c, o]",
        wrong="∂L/∂x[i, y] = w[c, i, k] · δ[c, o] of the last of them",
        stays_right="the forward pass, the gradients of weight and bias; windows that touch no other, with one channel",
        fix="begin with zeros and add: dx[window] += w * delta",
        example="dx[:, y:y + K, x:x + K] = w[c] * delta[c, y, x]   # BP703\n"
        "dx[:, y:y + K, x:x + K] += w[c] * delta[c, y, x]  # right\n",
        confused_with=("BP108", "BP710"),
        variants=variants(
            variant(OverlapOverwritten, "channel by channel", order="channel"),
            variant(OverlapOverwritten, "position by position", order="position"),
            variant(OverlapOverwritten, "the channels of a position are added", order="window"),
            variant(OverlapOverwritten, "only the last channel is left", order="whole"),
            variant(OutputOverwritten, "in a transposed convolution's output", order="channel"),
            variant(OutputOverwritten, "in a transposed convolution's output, position by position", order="position"),
            variant(OutputOverwritten, "in a transposed convolution's output, channels added", order="window"),
            variant(OutputOverwritten, "of a transposed convolution only the last channel is left", order="whole"),
        ),
    ),
    Bug(
        code="BP704",
        name="conv-stride-ignored-backward",
        sentence="The backward pass moves the window by 1, or by the stride of another axis, where the forward pass moved it"
        " by the stride.",
        right="output o met input o·stride + k·dilation − padding",
        wrong="output o met input o + k·dilation − padding",
        stays_right="the forward pass, the bias's gradient; with stride 1, everything",
        fix="use o·stride in both sums, or put stride − 1 zeros between the elements of δ first",
        example="dw[k] += delta[o] * x[o + k]           # BP704\ndw[k] += delta[o] * x[o * stride + k]  # right\n",
        confused_with=("BP705",),
        seen="huggingface/candle#2337",
        variants=variants(
            *(
                variant(StrideIgnored, _WHERE[name], where=("x", "weights") if name == "both" else (name,))
                for name in ("both", "x", "weights")
            )
        ),
    ),
    Bug(
        code="BP705",
        name="conv-padding-not-cropped",
        sentence="The input's gradient is that of the padded input, not cropped to the input itself: it is shifted.",
        right="∂L/∂x[y] = ∂L/∂padded[y + padding]",
        wrong="∂L/∂x[y] = ∂L/∂padded[y]",
        stays_right="the forward pass, the gradients of weight and bias; without padding, everything",
        fix="cut the padding off again at both ends: dx = dpadded[p:p + n]",
        example="dx = dpadded[:, :n, :n]              # BP705\ndx = dpadded[:, p:p + n, p:p + n]    # right\n",
        confused_with=("BP704",),
        variants=variants(
            variant(PaddingNotCropped, "from the corner"),
            variant(PaddingNotCropped, "up to the far corner", times=2),
            variant(PaddingNotCropped, "the weight's gradient from the input without padding", where=("weights",)),
            variant(PaddingNotCropped, "in both gradients", where=("x", "weights"), usual=False),
        ),
    ),
    Bug(
        code="BP706",
        name="conv-bias-one-position",
        sentence="The bias's gradient is δ of one position; the bias is part of every position of its channel.",
        right="∂L/∂b[c] = Σₛ Σ over all positions of δ[s, c, y, x]",
        wrong="∂L/∂b[c] = Σₛ δ[s, c] of one position",
        stays_right="the forward pass, every delta, the weight's gradient",
        fix="sum δ over the batch and over all positions: db = delta.sum(axis=(0, 2, 3))",
        example="db[c] = delta[c, y, x]   # BP706\ndb[c] += delta[c, y, x]  # right\n",
        confused_with=("BP114", "BP708"),
        variants=variants(
            variant(BiasOfOnePosition, "the last position", at=-1),
            variant(BiasOfOnePosition, "the first position", at=0),
        ),
    ),
    Bug(
        code="BP707",
        name="conv-channels-mixed",
        sentence="Input and output channels of the kernel are confused, or one channel is used for all.",
        right="w[c, i]: from input channel i into output channel c",
        wrong="w[i, c], or w[c, 0] for every i",
        stays_right="with one channel in and out, everything",
        fix="keep PyTorch's order [out, in, rows, columns] (transposed: [in, out, …]), and sum over every input channel",
        example="dx[i] += correlate(delta[c], flip(w[i][c]))  # BP707\n"
        "dx[i] += correlate(delta[c], flip(w[c][i]))  # right\n",
        confused_with=("BP701", "BP109"),
        seen="NervanaSystems/neon#111",
        variants=variants(
            variant(ChannelsTransposed, "w[i, c] in the input's gradient", where=("x",)),
            variant(ChannelsTransposed, "w[i, c] forward", where=("z",)),
            variant(ChannelsTransposed, "w[i, c] forward and backward alike", where=("z", "x", "weights")),
            variant(ChannelsTransposed, "the weight's gradient with its channels swapped", where=("weights",)),
            variant(KernelOfOneChannel, "the first input channel's kernel for all of them", where=("z",)),
            variant(
                KernelOfOneChannel, "the first input channel's kernel for all, in the input's gradient", where=("x",)
            ),
            variant(InputOfOneChannel, "the weight's gradient from the first input channel"),
        ),
    ),
    Bug(
        code="BP708",
        name="conv-gradient-divided-by-area",
        sentence="The gradient of a shared weight is averaged over the positions where it was used; it is their sum.",
        right="∂L/∂w[k] = Σₛ Σₒ δ[s, o] · x[s, o + k]",
        wrong="∂L/∂w[k] = (1/positions) Σₛ Σₒ δ[s, o] · x[s, o + k]",
        stays_right="the forward pass and every delta",
        fix="sum over the positions; only the loss decides whether the samples are averaged",
        example="db[c] = delta[c].mean()  # BP708\ndb[c] = delta[c].sum()   # right\n",
        confused_with=("BP403", "BP706"),
        seen="cTensor#3",
        variants=variants(
            variant(DividedByArea, "weight and bias"),
            variant(DividedByArea, "the weight", roles=("weights",)),
            variant(DividedByArea, "the bias", roles=("bias",)),
            variant(DividedByArea, "the weight, by the kernel's area", roles=("weights",), by_kernel=True),
            variant(DividedByArea, "weight and bias, by the kernel's area", by_kernel=True, usual=False),
        ),
    ),
)


def _apart(each: Variant) -> list[Variant]:
    """The same mistake only in plain convolutions, or only in transposed ones: these are often separate code."""
    comma = ", " if each.label else ""
    return [
        written(variant(each.stages, f"{each.label}{comma}{where}", usual=False, kinds=kinds), each.wrong, each.right)
        for kinds, where in ((STRAIGHT, "not in transposed ones"), (TRANSPOSED, "in transposed ones only"))
    ]


#: The wrong strides, in words and as a formula.
_STRIDES = {
    "rows": ("along the rows only", "output (y, x) met input (y + …, x·stride + …)"),
    "columns": ("along the columns only", "output (y, x) met input (y·stride + …, x + …)"),
    "rows' for both": ("the rows' stride in both directions", "output (y, x) met input (y·s₀ + …, x·s₀ + …)"),
    "columns' for both": ("the columns' stride in both directions", "output (y, x) met input (y·s₁ + …, x·s₁ + …)"),
    "exchanged": ("the strides of rows and columns exchanged", "output (y, x) met input (y·s₁ + …, x·s₀ + …)"),
    "larger": ("the stride one too large", "output o met input o·(stride + 1) + k·dilation − padding"),
}


_OTHER_STRIDES = tuple(
    written(
        variant(
            OtherStride,
            f"{words}, {_WHERE[name]}",
            usual=False,
            form=form,
            where=("x", "weights") if name == "both" else (name,),
        ),
        wrong,
        "" if form == "larger" else "output (y, x) met input (y·s₀ + …, x·s₁ + …)",
    )
    for form, (words, wrong) in _STRIDES.items()
    for name in ("both", "x", "weights")
)


#: Further ways to make the mistakes above.
VARIANTS = {
    bug.code: tuple(
        one for each in bug.variants if getattr(each.stages, "kinds", ()) == CONVOLUTIONS for one in _apart(each)
    )
    + (_OTHER_STRIDES if bug.code == "BP704" else ())
    for bug in BUGS
}
