"""Results as files for other tools: CSV (one row per mismatch) and JUnit XML (one test case per case)."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any, TextIO

from backprop_check.errors import ELSEWHERE, ResultsError
from backprop_check.protocol.text import clean_text
from backprop_check.running.one_case import FAILURES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from backprop_check.protocol import ImplementationInfo
    from backprop_check.running.one_case import Result

COLUMNS = (
    "case", "outcome", "layer", "neuron", "quantity", "index", "sample", "step",
    "expected", "actual", "error", "allowed", "problem", "origin", "diagnosis", "message", "at",
)  # fmt: skip

#: Characters that a spreadsheet takes for the beginning of a formula (some spreadsheets also after a carriage return).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Characters that XML 1.0 cannot hold.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """Write one row per mismatch; a case without mismatches has one row.

    ``neuron`` and ``index`` are flat indexes; where an array has several axes, ``at`` has all indexes, as in a reply.

    Raises ``ResultsError`` where the file cannot be written.
    """
    with _open(path) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for result in results:
            common = [" ".join(result.diagnosis), _cell(result.message)]
            if not result.mismatches:
                writer.writerow([result.id, result.outcome, *[""] * 12, *common, ""])
            for one in result.mismatches:
                index = " ".join(map(str, one.index))
                place = [one.layer, one.neuron, one.quantity, index, one.sample, one.step]
                numbers = [one.expected, one.actual, one.error, one.allowed, one.problem, one.origin]
                row = [*map(_cell, (*place, *numbers)), *common, " ".join(map(str, one.at))]
                writer.writerow([result.id, result.outcome, *row])


def _cell(value: Any) -> Any:
    """The value; a text is quoted so that no spreadsheet takes it for a formula."""
    if not isinstance(value, str):
        return value
    return f"'{value}" if value[:1] in _FORMULA and value != "-Infinity" else value


def write_junit(path: Path, results: Sequence[Result], info: ImplementationInfo) -> None:
    """Write one test suite with one test case per case, as CI servers read it.

    Raises ``ResultsError`` where the file cannot be written.
    """
    failed = [each for each in results if each.outcome in FAILURES]
    wrong = [each for each in failed if each.outcome == "mismatched"]
    skipped = [each for each in results if each.outcome in ("skipped", "not_applicable")]
    suite = ET.Element(
        "testsuite",
        name=_xml(f"backprop-check {info.name}"),
        tests=str(len(results)),
        failures=str(len(wrong)),
        errors=str(len(failed) - len(wrong)),
        skipped=str(len(skipped)),
        time=f"{sum(each.seconds for each in results):.3f}",
    )
    for result in results:
        one = ET.SubElement(
            suite, "testcase", classname=_xml(info.name), name=_xml(result.id), time=f"{result.seconds:.6f}"
        )
        if result.outcome in FAILURES:
            kind = "failure" if result.outcome == "mismatched" else "error"
            failure = ET.SubElement(one, kind, message=_xml(result.message), type=result.outcome)
            failure.text = _xml("\n".join([*(f"diagnosis: {name}" for name in result.diagnosis), *result.notes]))
        elif result.outcome != "passed":
            ET.SubElement(one, "skipped", message=_xml(result.message or result.outcome.replace("_", " ")))
    whole = ET.Element("testsuites")
    whole.append(suite)
    ET.indent(whole)
    with _open(path) as file:
        file.write(ET.tostring(whole, encoding="unicode", xml_declaration=False))
        file.write("\n")


def _xml(text: str) -> str:
    return _NO_XML.sub("�", clean_text(text, 4000))


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        cause = f"the file {path} cannot be written: {error.strerror}"
        raise ResultsError("file-not-written", cause, ELSEWHERE, "; ") from None
