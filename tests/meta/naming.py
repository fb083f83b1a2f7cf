"""What a results file names as the cause, and whether that is the bug that was planted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planting import Planted
    from running import Json

_CODE = re.compile(r"BP\d{3}")


def claimed(results: Json) -> list[set[str]]:
    """For each cause in the results file, the codes that it says no case can tell apart.

    A pair of bugs (``BP102+BP401``) is two causes.
    """
    causes: list[set[str]] = []
    for diagnosis in results.get("diagnoses", []):
        among = [str(each) for each in diagnosis.get("equivalent", [])]
        codes = _CODE.findall(diagnosis["code"] or "")
        if len(codes) > 1:
            causes += [{code} for code in codes]
        elif codes:
            causes.append({codes[0], *_CODE.findall(" ".join(among))})
    return causes


def _right(planted: Planted, code: str) -> set[str]:
    return {code, *planted.also}


def names_all(planted: Planted, results: Json) -> bool:
    """Whether every planted code is named."""
    causes = claimed(results)
    return all(any(cause & _right(planted, code) for cause in causes) for code in planted.codes)


def names_wrong(planted: Planted, results: Json) -> list[set[str]]:
    """The causes without any of the planted codes."""
    right = set().union(*(_right(planted, code) for code in planted.codes)) if planted.codes else set()
    return [cause for cause in claimed(results) if not cause & right]
