"""Dropout with a given mask, and embedding."""

from __future__ import annotations

import itertools
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the fields' types
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from backprop_check.fields import Below1, Count, NestedNumbers, Size, arrays, description, fail
from backprop_check.kinds.kind import PLACES, Kind, Shape, drawn, flat, nested, size
from backprop_check.kinds.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Sequence


class Dropout(Kind, frozen=True, tag="dropout"):
    """a = x · mask/(1 − p) in training, otherwise a = x: PyTorch's ``Dropout``, with the mask given.

    ``mask[sample]`` has the shape of a sample: 1 for units that are kept, 0 for units that are dropped.
    """

    p: Below1
    training: bool
    mask: Annotated[
        NestedNumbers, description("[sample]…, with the shape of a sample: 1 keeps a unit, 0 drops it.")
    ] = None

    family: ClassVar[str] = "normalisation"

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless there is a mask in training, and none otherwise."""
        del inputs
        if self.training == (self.mask is None):
            fail(f"{path}.mask", "a mask in training, none else", "none" if self.mask is None else "a mask")

    def check_batch(self, path: str, inputs: Shape, samples: Sequence[Sequence[float]]) -> None:
        """Raises ``CaseError`` unless the mask has a 0 or a 1 for every unit of every sample."""
        if not self.training:
            return
        found = flat(f"{path}.mask", self.mask, (len(samples), *inputs), "a 0 or a 1 for every unit of every sample")
        wrong = found[(found != 0) & (found != 1)]
        if wrong.size:
            fail(f"{path}.mask", "0 (dropped) or 1 (kept)", wrong[0])

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs

    def of_samples(self, samples: Sequence[int]) -> Kind:
        """The same layer with the masks of these samples."""
        return msgspec.structs.replace(self, mask=[self.mask[s] for s in samples]) if self.training else self

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """A few features, a sequence or an image."""
        shape: Shape = draw.one_of(((draw.whole(3, 5),), (2, draw.whole(2, 3)), (2, 2, draw.whole(1, 2))))
        return shape

    @classmethod
    def draw_sample(cls, draw: Any, inputs: Shape) -> Any:
        """Some inputs are 0, which is not the same as a dropped unit."""
        numbers = [0.0 if draw.whole(1, 5) == 1 else draw.number(1.5, 2) for _ in range(size(inputs))]
        return nested(numbers, inputs)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Usually in training; at least one unit of the batch is dropped, and one kept."""
        probability = draw.one_of((0.1, 0.25, 0.5, 0.6))
        if draw.whole(1, 6) == 1:
            return {"kind": "dropout", "p": probability, "training": False}
        kept = [draw.whole(0, 1) for _ in range(samples * size(inputs))]
        kept[0], kept[-1] = 1 - kept[-1], kept[-1]
        return {"kind": "dropout", "p": probability, "training": True, "mask": nested(kept, (samples, *inputs))}

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = x · mask/(1 − p), or a = x."""
        del parameters
        if not self.training:
            return c.output(c.pick(x, range(x.units), role="a"))
        rows = [flat("mask", sample, inputs, "mask") for sample in self.mask]
        kept = c.multiply(x, c.given(rows), role="kept")
        return c.output(c.function("over", kept, 1.0 - self.p, role="scaled"))


class Embedding(Kind, frozen=True, tag="embedding"):
    """a[t] = weight[x[t]]: PyTorch's ``Embedding``. The input holds indices, written as whole numbers.

    The gradient of a row is the sum over all places where it was looked up; that of row ``padding_idx`` is 0. No
    gradient flows back to the indices.
    """

    num_embeddings: Count
    embedding_dim: Count
    parameters: Annotated[dict[str, Any], arrays({"weight": "[index][number]"})]
    padding_idx: Size | None = None

    family: ClassVar[str] = "normalisation"
    indices: ClassVar[bool] = True
    places: ClassVar[Mapping[int, tuple[str, ...]]] = {**PLACES, 2: ("position", "number")}

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where ``weight`` is missing or has not its shape, or ``padding_idx`` is no row of it."""
        if self.padding_idx is not None and self.padding_idx >= self.num_embeddings:
            fail(f"{path}.padding_idx", f"an index below {self.num_embeddings}", self.padding_idx)
        if set(self.parameters) != {"weight"}:
            fail(f"{path}.parameters", "weight", ", ".join(self.parameters))
        flat(f"{path}.parameters.weight", self.parameters["weight"], self.parameter_shapes(inputs)["weight"], "weight")

    def check_batch(self, path: str, inputs: Shape, samples: Sequence[Sequence[float]]) -> None:
        """Raises ``CaseError`` where an input is not a whole number from 0 to num_embeddings − 1."""
        del path, inputs
        for s, sample in enumerate(samples):
            for t, x in enumerate(sample):
                if x != int(x) or not 0 <= x < self.num_embeddings:
                    fail(f"$.inputs[{s}][{t}]", f"an index: a whole number from 0 to {self.num_embeddings - 1}", x)

    def output_shape(self, inputs: Shape) -> Shape:
        """``embedding_dim`` numbers for every index."""
        return (*inputs, self.embedding_dim)

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """weight[index][number]."""
        del inputs
        return {"weight": (self.num_embeddings, self.embedding_dim)}

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """A few indices."""
        return (draw.whole(2, 5),)

    @classmethod
    def draw_sample(cls, draw: Any, inputs: Shape) -> Any:
        """Indices of the first four rows, so that repeated ones are common."""
        return nested([draw.whole(0, 3) for _ in range(size(inputs))], inputs)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Four rows, or a few more that are never looked up; with and without padding."""
        del samples
        if len(inputs) != 1:
            return None
        rows, width = draw.one_of((4, 4, 5, 6)), draw.whole(1, 3)
        return {
            "kind": "embedding",
            "num_embeddings": rows,
            "embedding_dim": width,
            **({"padding_idx": draw.whole(0, 3)} if draw.whole(1, 3) == 1 else {}),
            "parameters": {"weight": drawn(draw, (rows, width), 1.4)},
        }

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a[t, j] = Σᵣ [x[t] = r] weight[r, j] over the rows r that the batch looks up; rows of padding get no
        gradient.
        """
        del x
        samples, weight, count, width = c.case.inputs, parameters["weight"], size(inputs), self.embedding_dim
        rows = self.rows(samples)
        reads, uses = [], []
        for t, j in itertools.product(range(count), range(width)):
            reads.append(range(t * len(rows), (t + 1) * len(rows)))
            uses.append([row * width + j for row in rows])
        wiring = Wiring(count * len(rows), self.num_embeddings * width, reads, uses)
        chosen = self.chosen(samples)
        if self.padding_idx not in rows:
            return c.output(c.weighted_sum([(c.given(chosen), weight, wiring)], role="looked_up"))
        at = rows.index(self.padding_idx)
        padding = [[float(v % len(rows) == at) * one for v, one in enumerate(row)] for row in chosen]
        moving = [[one - other for one, other in zip(*pair, strict=True)] for pair in zip(chosen, padding, strict=True)]
        sources = [(c.given(moving), weight, wiring), (c.given(padding), c.unmoved(weight), wiring)]
        return c.output(c.weighted_sum(sources, role="looked_up"))

    def rows(self, samples: Sequence[Sequence[float]]) -> list[int]:
        """The rows that a batch looks up, in order. Others are left out, so that the size of the table costs
        nothing.
        """
        return sorted({int(x) for sample in samples for x in sample})

    def chosen(self, samples: Sequence[Sequence[float]]) -> list[list[float]]:
        """For every sample and index, a 1 for the row that is looked up and a 0 for every other of ``rows``."""
        rows = self.rows(samples)
        return [[float(row == int(x)) for x in sample for row in rows] for sample in samples]


__all__ = ["Dropout", "Embedding"]
