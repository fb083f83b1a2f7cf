"""The words of ``supports``: the known words, and suggestions for unknown ones.

A word that begins with ``x-`` is allowed and ignored, so that a port can claim what only a newer backprop-check knows.
Any other unknown word makes the hello invalid; otherwise nothing would be sent for it, and nobody would notice.
"""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING, Any, Final

from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The prefix of words for a newer backprop-check.
FUTURE: Final = "x-"

#: The most unknown words that an error names, and the most suggestions for each.
_TOLD, _SUGGESTED = 5, 3

#: Names that other libraries use, in lower case, letters and digits only, with the words that they may mean here.
ALIASES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "layers": {
        "linear": ("dense", "linear"),
        "fc": ("dense",),
        "fullyconnected": ("dense",),
        "affine": ("dense",),
        "mlp": ("dense",),
        "conv": ("conv2d", "conv1d"),
        "convolution": ("conv2d", "conv1d"),
        "deconv": ("conv_transpose2d", "conv_transpose1d"),
        "maxpool": ("max_pool2d", "max_pool1d"),
        "maxpooling": ("max_pool2d", "max_pool1d"),
        "avgpool": ("avg_pool2d", "avg_pool1d"),
        "averagepooling": ("avg_pool2d", "avg_pool1d"),
        "simplernn": ("rnn",),
        "elman": ("rnn",),
        "batchnorm1d": ("batch_norm",),
        "batchnorm2d": ("batch_norm",),
        "layernormalization": ("layer_norm",),
        "batchnormalization": ("batch_norm",),
        "attention": ("multihead_attention", "scaled_dot_product_attention"),
        "selfattention": ("multihead_attention", "scaled_dot_product_attention"),
        "mha": ("multihead_attention",),
        "sdpa": ("scaled_dot_product_attention",),
        "transformer": ("transformer_block",),
        "transformerencoderlayer": ("transformer_block",),
    },
    "activations": {
        "linear": ("identity",),
        "none": ("identity",),
        "logistic": ("sigmoid",),
        "lrelu": ("leaky_relu",),
        "swish": ("silu",),
    },
    "losses": {
        "mse": ("mean_squared_error",),
        "mseloss": ("mean_squared_error",),
        "l2": ("mean_squared_error", "squared_error"),
        "sse": ("squared_error",),
        "mae": ("mean_absolute_error",),
        "l1": ("mean_absolute_error",),
        "l1loss": ("mean_absolute_error",),
        "bce": ("binary_cross_entropy",),
        "bceloss": ("binary_cross_entropy",),
        "ce": ("cross_entropy",),
        "categoricalcrossentropy": ("cross_entropy",),
        "nll": ("negative_log_likelihood",),
        "nllloss": ("negative_log_likelihood",),
        "kl": ("kl_divergence",),
        "kld": ("kl_divergence",),
        "kldivloss": ("kl_divergence",),
        "smoothl1": ("huber",),
    },
    "optimizers": {"gd": ("sgd",), "gradientdescent": ("sgd",)},
    "features": {
        "clip": ("clipping",),
        "gradientclipping": ("clipping",),
        "scheduler": ("schedule",),
        "lrschedule": ("schedule",),
        "l1": ("regularization",),
        "l2": ("regularization", "weight_decay"),
        "dag": ("graph",),
        "skip": ("graph",),
        "residual": ("graph",),
    },
}


@functools.cache
def vocabulary() -> dict[str, tuple[str, ...]]:
    """Every word that a list of ``supports`` may hold, by the name of the list."""
    from backprop_check.case.training import FEATURES, OPTIMIZERS  # noqa: PLC0415
    from backprop_check.functions.names import ALL_ACTIVATIONS, ALL_LOSSES, LOSS_FEATURES  # noqa: PLC0415
    from backprop_check.kinds import FEATURES as OF_LAYERS  # noqa: PLC0415 - the hello of a child needs none of it
    from backprop_check.kinds import KINDS  # noqa: PLC0415

    return {
        "layers": tuple(KINDS),
        "activations": ALL_ACTIVATIONS,
        "losses": ALL_LOSSES,
        "optimizers": OPTIMIZERS,
        "features": (*FEATURES, *OF_LAYERS, *LOSS_FEATURES),
    }


def unknown_claims(supports: Mapping[str, Any]) -> str:
    """A sentence about the unknown words of a ``supports`` with the right types; empty if all words are known."""
    words = vocabulary()
    lists = (*words, "batch")
    told = [
        f'at $.supports: "{one_line(key, 60)}" is not one of its fields{_meant(nearest(key, lists))}'
        for key in supports
        if key not in lists and not key.startswith(FUTURE)
    ]
    for key, known in words.items():
        told += [
            f'at $.supports.{key}: "{one_line(word, 60)}" is unknown{_hint(key, word)}'
            for word in supports.get(key) or ()
            if word not in known and not word.startswith(FUTURE)
        ]
    if not told:
        return ""
    more = f"; and {len(told) - _TOLD} more like that" if len(told) > _TOLD else ""
    return (
        f"{'; '.join(told[:_TOLD])}{more}. Correct or remove each; a word that only a newer backprop-check knows "
        f'may stay if it begins with "{FUTURE}"'
    )


def _hint(key: str, word: str) -> str:
    """A hint: the word of the list that was probably meant, or the list to which the word belongs."""
    others = [other for other, known in vocabulary().items() if word in known]
    if others and plain(word) not in ALIASES[key]:
        return f", but belongs in $.supports.{others[0]}"
    return _meant(near_claims(key, word))


def near_claims(key: str, word: str) -> list[str]:
    """The words of a list that an unknown word probably means: by other libraries' names, else by spelling."""
    called = ALIASES[key].get(plain(word), ())
    return list(called) or nearest(word, vocabulary()[key])


def nearest(word: str, known: Sequence[str]) -> list[str]:
    """The known words with the most similar spelling, best first; only letters and digits are compared."""
    by_letters = {plain(each): each for each in known}
    if plain(word) in by_letters:
        return [by_letters[plain(word)]]
    return [by_letters[each] for each in difflib.get_close_matches(plain(word)[:60], by_letters, _SUGGESTED, 0.6)]


def plain(word: str) -> str:
    """Its letters and digits in lower case: ``Conv2d`` and ``conv_2d`` are one word."""
    return "".join(each for each in word.lower() if each.isalnum())


def _meant(words: Sequence[str]) -> str:
    *first, last = [f'"{word}"' for word in words] or [""]
    return f" (did you mean {', '.join(first)}{' or ' if first else ''}{last}?)" if words else ""
