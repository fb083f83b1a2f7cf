"""The vocabulary of level 1: activations, losses, and what goes with what."""

from __future__ import annotations

ACTIVATIONS = (
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "softsign", "silu", "gelu",
    "hard_tanh", "softmax", "log_softmax",
)  # fmt: skip
LOSSES = (
    "half_squared_error", "squared_error", "mean_squared_error", "mean_absolute_error", "huber",
    "binary_cross_entropy", "cross_entropy", "negative_log_likelihood", "hinge",
)  # fmt: skip

#: Losses that came after level 1: an implementation that says nothing of its losses is not asked for them.
LATER_LOSSES = ("kl_divergence",)
ALL_LOSSES = (*LOSSES, *LATER_LOSSES)

#: What a port may claim in ``supports.features`` of losses: a field that it must know.
LOSS_FEATURES = ("label_smoothing",)

#: The output activations a loss needs; every other loss takes any.
NEEDS_OUTPUT = {
    "binary_cross_entropy": ("sigmoid", "softmax"),
    "cross_entropy": ("softmax",),
    "negative_log_likelihood": ("log_softmax",),
    "kl_divergence": ("log_softmax",),
}

#: α and Huber's threshold where a case does not give them, as PyTorch has them.
DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}
DEFAULT_THRESHOLD = 1.0

#: The suites beyond chains of dense layers, in the order in which they are learnt: how layers are wired, then what
#: kinds of layers there are.
FAMILIES = ("graph", "convolution", "recurrent", "normalisation", "attention")

#: The levels of README's table, in its order: the first is number 1.
LEVELS = ("dense", "training", *FAMILIES)
