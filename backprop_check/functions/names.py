"""The vocabulary: activations and losses as ``functions`` defines them, which go together, and the levels."""

from __future__ import annotations

from backprop_check.functions.activations import ELEMENTWISE, LAYERWISE
from backprop_check.functions.losses import LOSSES as _LOSSES

#: The names of level 1. An implementation that does not list its activations or losses is asked only for these.
ACTIVATIONS = (*(name for name, one in ELEMENTWISE.items() if not one.later), *LAYERWISE)
LOSSES = tuple(name for name, loss in _LOSSES.items() if not loss.later)

LATER_ACTIVATIONS = tuple(name for name, one in ELEMENTWISE.items() if one.later)
LATER_LOSSES = tuple(name for name, loss in _LOSSES.items() if loss.later)
ALL_ACTIVATIONS = (*ACTIVATIONS, *LATER_ACTIVATIONS)
ALL_LOSSES = (*LOSSES, *LATER_LOSSES)

#: What a port may claim in ``supports.features`` about losses: optional fields of a loss.
LOSS_FEATURES = ("label_smoothing",)

#: The output activations that a loss requires; a loss that is not listed accepts every activation.
NEEDS_OUTPUT = {name: loss.needs for name, loss in _LOSSES.items() if loss.needs}

#: PyTorch's defaults of α and of Huber's threshold, for a case that does not give them.
DEFAULT_ALPHA = {name: one.alpha for name, one in ELEMENTWISE.items() if one.alpha is not None}
DEFAULT_THRESHOLD = 1.0

#: The suites beyond chains of dense layers, in the order in which they are usually taught: how layers are connected,
#: then the kinds of layers.
FAMILIES = ("graph", "convolution", "recurrent", "normalisation", "attention")

#: The levels in the order of README's table; the first is level 1.
LEVELS = ("dense", "training", *FAMILIES)
