"""The catalogue as a whole: every bug by its code and name."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

import msgspec

from backprop_check.diagnose import bugs
from backprop_check.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backprop_check.diagnose.bug import Bug, Variant
    from backprop_check.diagnose.causes import Cause


def _collected() -> tuple[Bug, ...]:
    """The bugs of every module in ``bugs``, found by being there.

    A module has ``BUGS``, and may have ``VARIANTS``: by code, further ways to make a mistake that has its page already.
    """
    modules = [
        importlib.import_module(f"{bugs.__name__}.{module.name}") for module in pkgutil.iter_modules(bugs.__path__)
    ]
    found: list[Bug] = [bug for module in modules for bug in getattr(module, "BUGS", ())]
    for module in modules:
        for code, more in getattr(module, "VARIANTS", {}).items():
            at = next(number for number, bug in enumerate(found) if bug.code == code)
            found[at] = dataclasses.replace(found[at], variants=(*found[at].variants, *more))
    return tuple(sorted(found, key=lambda bug: bug.code))


#: In the order of their codes.
BUGS: tuple[Bug, ...] = _collected()

FAMILIES = {
    "BP0": "numbers and the protocol",
    "BP1": "backward pass",
    "BP2": "forward pass",
    "BP3": "loss",
    "BP4": "batch and state",
    "BP5": "optimizer",
    "BP6": "softmax",
    "BP7": "convolution and pooling",
    "BP8": "recurrence",
    "BP9": "normalisation, dropout, embedding, attention",
}


@functools.cache
def all_variants() -> tuple[tuple[Bug, Variant], ...]:
    """Every variant with its bug, the usual ones first."""
    pairs = [(bug, variant) for bug in BUGS for variant in bug.variants]
    return tuple(sorted(pairs, key=lambda pair: not pair[1].usual))


def find_bug(code_or_name: str) -> Bug:
    """The bug of that code or name; ``ConfigurationError`` where there is none."""
    wanted = code_or_name.strip().casefold()
    for bug in BUGS:
        if wanted in (bug.code.casefold(), bug.name):
            return bug
    names = [name for bug in BUGS for name in (bug.code, bug.name)]
    close = difflib.get_close_matches(wanted, [name.casefold() for name in names], 3)
    hint = f": did you mean {' or '.join(close)}?" if close else "; backprop-check bugs lists them all"
    msg = f"there is no bug {code_or_name!r} in the catalogue{hint}"
    raise ConfigurationError(msg)


def variant_of(code: str, label: str) -> Variant | None:
    """The bug's variant of that label."""
    return next((each for each in find_bug(code).variants if label and each.label == label), None)


def formulas_of(code: str, label: str) -> tuple[str, str]:
    """The formula as it should be and as it was: of the bug's variant of that label, where it has its own."""
    bug, own = find_bug(code), variant_of(code, label)
    return (own and own.right) or bug.right, (own and own.wrong) or bug.wrong


def with_formulas(causes: Iterable[Cause]) -> list[Cause]:
    """Causes with the formulas and the sentence of what was found, which is one of several ways to make a mistake."""
    found = []
    for cause in causes:
        if cause.code is not None and cause.right:
            right, wrong = formulas_of(cause.code, cause.detail)
            own = variant_of(cause.code, cause.detail)
            sentence = (own and own.sentence) or cause.sentence
            cause = msgspec.structs.replace(cause, right=right, implemented=wrong, sentence=sentence)  # noqa: PLW2901
        found.append(cause)
    return found
