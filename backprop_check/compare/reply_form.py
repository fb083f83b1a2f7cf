"""Converting arrays by slot to the JSON form of a reply: expected values, and values that came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.compare.compare import PARAMETERS, as_json
from backprop_check.compare.trace import parameter_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop_check.compare.trace import Array, Form, Slot

_NAMES = {quantity: name for name, quantity in PARAMETERS.items()}


def as_reply(
    values: Mapping[Slot, Array], layers: int, *, trajectory: bool = True, form: Form | None = None
) -> dict[str, Any]:
    """Arrays by slot in the form of a reply; NaN and the infinities become the protocol's strings.

    ``form`` has the shapes and names in a reply, where they differ from those in a trace.
    """
    names = (
        [_NAMES] * layers if form is None else [{trace: wire for wire, trace in each.items()} for each in form.names]
    )
    reply: dict[str, Any] = {"layers": [{} for _ in range(layers)]}
    steps: list[dict[str, Any]] = []
    for slot, array in values.items():
        value = _plain(array if form is None else array.reshape(form.wire_shape(slot)))
        if slot.step is not None:
            if not trajectory:
                continue
            while len(steps) <= slot.step:
                steps.append({"layers": [{} for _ in range(layers)]})
            if slot.layer is None:
                steps[slot.step]["loss"] = value
            else:
                _put(steps[slot.step]["layers"][slot.layer], slot.quantity, value, names[slot.layer])
        elif slot.layer is None:
            reply["input_gradients" if slot.quantity == "input_gradient" else slot.quantity] = value
        else:
            _put(reply["layers"][slot.layer], slot.quantity, value, names[slot.layer])
    if len(steps) > 1:
        reply["trajectory"] = steps
    return reply


def _put(layer: dict[str, Any], quantity: str, value: Any, names: Mapping[str, str]) -> None:
    if quantity.endswith("_gradient"):
        layer.setdefault("gradients", {})[names[parameter_of(quantity)]] = value
    elif quantity.startswith("updated_"):
        layer.setdefault("updated", {})[names[parameter_of(quantity)]] = value
    elif quantity.endswith("_buffer"):
        layer.setdefault("buffers", {})[quantity.removesuffix("_buffer")] = value
    else:
        layer[quantity] = value


def _plain(array: Array) -> Any:
    if not array.shape:
        return as_json(float(array))
    if np.isfinite(array).all():
        return array.tolist()
    return [_plain(np.asarray(part)) for part in array]
