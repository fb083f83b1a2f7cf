"""PReLU: a leaky ReLU whose slope for negative inputs is learnt: one slope for all units, or one per channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from backprop_check.fields import arrays, fail
from backprop_check.kinds.kind import Kind, Shape, drawn, flat, size
from backprop_check.kinds.wiring import Wiring, picking

if TYPE_CHECKING:
    from collections.abc import Mapping


class PReLU(Kind, frozen=True, kw_only=True, tag="prelu"):
    """a = max(x, 0) + w · min(x, 0): PyTorch's ``PReLU`` (He et al. 2015).

    ``weight`` is [1], or [channels], where the first index of a unit is its channel. The derivative at x = 0 is w.
    """

    parameters: Annotated[dict[str, Any], arrays({"weight": "[1] or [channel]…"})]

    family: ClassVar[str] = "normalisation"

    def check(self, path: str, inputs: Shape) -> None:
        """Check the number of slopes.

        Raises ``CaseError`` unless ``weight`` is the only parameter and holds one finite number, or one per channel.
        """
        weight = self.parameters.get("weight")
        if set(self.parameters) != {"weight"} or weight is None or not weight.shape:
            fail(f"{path}.parameters", "weight", ", ".join(self.parameters) or "none")
        if len(weight) not in (1, inputs[0]):
            fail(f"{path}.parameters.weight", f"1 number, or {inputs[0]} (one a channel)", len(weight))
        flat(f"{path}.parameters.weight", weight, (len(weight),), "weight")

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """One slope, or one per channel."""
        del inputs
        return {"weight": (len(self.parameters["weight"]),)}

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = max(x, 0) + w · (x − max(x, 0))."""
        # min(x, 0) is written x − max(x, 0), so that both parts use the same derivative at the kink.
        units, slopes = size(inputs), len(self.parameters["weight"])
        same, minus = picking(units, range(units)), c.constant([-1.0])
        above = c.function("relu", x)
        below = c.weighted_sum([(x, None, same), (above, minus, same)])
        own = [[o * inputs[0] // units if slopes > 1 else 0] for o in range(units)]
        learnt = Wiring(units, slopes, [[o] for o in range(units)], own)
        return c.output(c.weighted_sum([(above, None, same), (below, parameters["weight"], learnt)]))

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """A vector, or a few channels."""
        return (draw.whole(2, 5),) if draw.whole(0, 1) else (draw.whole(2, 3), draw.whole(2, 4))

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """One slope or one per channel, of either sign."""
        del samples
        return {"kind": "prelu", "parameters": {"weight": drawn(draw, (draw.one_of((1, inputs[0])),), 0.6)}}
