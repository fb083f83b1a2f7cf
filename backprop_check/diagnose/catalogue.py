"""The catalogue of bugs: every bug by its code and name."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from backprop_check.diagnose import bugs
from backprop_check.diagnose.bug import written
from backprop_check.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop_check.diagnose.bug import Bug, Formula, Variant


def _collected() -> tuple[Bug, ...]:
    """The bugs of every module in ``bugs``.

    A module has ``BUGS``, and may have ``VARIANTS``: by code, more variants of bugs whose page is in another module.
    ``FORMULAS`` are formulas of variants, by code and label.
    """
    modules = [
        importlib.import_module(f"{bugs.__name__}.{module.name}") for module in pkgutil.iter_modules(bugs.__path__)
    ]
    found: list[Bug] = [bug for module in modules for bug in getattr(module, "BUGS", ())]
    for module in modules:
        for code, more in getattr(module, "VARIANTS", {}).items():
            at = next(number for number, bug in enumerate(found) if bug.code == code)
            found[at] = dataclasses.replace(found[at], variants=(*found[at].variants, *more))
    formulas = {code: own for module in modules for code, own in getattr(module, "FORMULAS", {}).items()}
    found = [_with_own_formulas(bug, {**formulas.get(bug.code, {}), **bug.by_label}) for bug in found]
    return tuple(sorted(found, key=lambda bug: bug.code))


def _with_own_formulas(bug: Bug, formulas: Mapping[str, Formula]) -> Bug:
    """The bug, whose variants have the formulas given for their labels."""
    made = []
    for each in bug.variants:
        formula = _formula_for(each.label, formulas)
        if formula is None or each.wrong:
            made.append(each)
            continue
        right, wrong = ("", formula) if isinstance(formula, str) else formula
        made.append(written(each, wrong, right, each.sentence))
    return dataclasses.replace(bug, variants=tuple(made))


def _formula_for(label: str, formulas: Mapping[str, Formula]) -> Formula | None:
    """The formula of the label itself, else of the largest set of its parts."""
    if label in formulas:
        return formulas[label]
    parts = set(label.split(", "))
    fitting = [key for key in formulas if set(key.split(", ")) <= parts]
    return formulas[max(fitting, key=lambda key: key.count(", "))] if fitting else None


#: All bugs in the order of their codes.
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
    """Every variant with its bug, usual ones first."""
    pairs = [(bug, variant) for bug in BUGS for variant in bug.variants]
    return tuple(sorted(pairs, key=lambda pair: not pair[1].usual))


def find_bug(code_or_name: str) -> Bug:
    """The bug of that code or name. Raises ``ConfigurationError`` where there is none, with similar names."""
    wanted = code_or_name.strip().casefold()
    for bug in BUGS:
        if wanted in (bug.code.casefold(), bug.name):
            return bug
    names = [name for bug in BUGS for name in (bug.code, bug.name)]
    close = difflib.get_close_matches(wanted, [name.casefold() for name in names], 3)
    hint = f"did you mean {' or '.join(close)}?" if close else "backprop-check bugs lists them all"
    cause = f"there is no bug {code_or_name!r} in the catalogue"
    raise ConfigurationError("unknown-bug", cause, hint, ": " if close else "; ")


def variant_of(code: str, label: str) -> Variant | None:
    """The bug's variant with that label, or None."""
    return next((each for each in find_bug(code).variants if label and each.label == label), None)
