"""Hints for graders: the place and the name of a mistake, and nothing that could be copied into a solution.

This is the only place where ``--hints-only`` takes effect: ``Run`` passes results and conclusions to terminal, JSON,
HTML, JUnit and CSV only in this form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from backprop_check.compare.compare import Mismatch
from backprop_check.compare.places import in_words, what_it_is
from backprop_check.diagnose.cause import Cause
from backprop_check.running.results_file import Conclusion

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.running.one_case import Result

#: The fields of a mismatch that are kept: place and kind. No expected, actual or allowed number.
_PLACE = ("quantity", "layer", "neuron", "sample", "index", "at", "step", "problem", "origin", "unstable")

#: The fields of a cause that are kept: name, place, what it explains. No formula, number, remedy or network.
_NAME = ("code", "bug", "title", "sentence", "scope", "equivalent", "cases", "first_case", "explains")


def hinted(result: Result, case: Case) -> Result:
    """The result without any expected value."""
    message = result.message
    if result.outcome == "mismatched":
        first = result.mismatches[0]
        message = f"the {what_it_is(case, first)} is wrong: {in_words(case, first)}"
    places = [Mismatch(**{name: getattr(each, name) for name in _PLACE}) for each in result.mismatches]
    return msgspec.structs.replace(result, mismatches=places, message=message, case=None, actual=None)


def hinted_conclusion(conclusion: Conclusion) -> Conclusion:
    """The conclusion with only the names and places of its causes."""
    return Conclusion(list(map(_hinted_cause, conclusion.causes)), conclusion.behaviours, conclusion.notes)


def _hinted_cause(cause: Cause) -> Cause:
    kept = {name: getattr(cause, name) for name in _NAME}
    if cause.code is None:  # the sentences after the first contain ratios of numbers
        kept["sentence"] = f"{cause.sentence.split('. ')[0].rstrip('.')}."
    return Cause(**kept)
