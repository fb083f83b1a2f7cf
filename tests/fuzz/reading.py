"""Every reader of untrusted files, each with a valid file to corrupt: for the fuzzer and the property tests.

Each reader takes the file's bytes and a folder to put them in. It returns, or raises one of the package's errors, whose
text is one sentence of bounded length.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.case.network import Case
from backprop_check.cases.files import check_work, read_case_file
from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Slot
from backprop_check.config import implementations
from backprop_check.errors import BackpropCheckError
from backprop_check.protocol import ImplementationInfo
from backprop_check.protocol.text import clean_text
from backprop_check.report.html.page import render
from backprop_check.report.html.read import checked, read_file
from backprop_check.running.early_results import Early, EarlyResults, early_path, read_early
from backprop_check.running.kept_failures import kept_failures
from backprop_check.running.known_failures import read_known, unlike_known
from backprop_check.running.one_case import Result
from backprop_check.running.results_file import Conclusion, ResultsFile
from backprop_check.running.resume import read_unfinished, summary_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: The most characters that an error's text may have, whatever the file.
LONGEST = 5000

CASE: dict[str, Any] = {
    "network": {"inputs": 1, "layers": [{
        "kind": "dense", "units": 2, "activation": "leaky_relu", "alpha": 0.2, "name": "hidden",
        "parameters": {"weights": [[0.5], [-1.5]], "biases": [0.25, 1e-3]}}]},
    "loss": {"kind": "huber", "threshold": 1.5},
    "reduction": "mean",
    "inputs": [[0.5], [2.0]],
    "targets": [[1.0, 0.0], [-1, 2]],
    "optimizer": {"kind": "sgd", "learning_rate": 0.1},
    "steps": 2,
}  # fmt: skip
CASE_FILE: dict[str, Any] = {
    "schema": 1,
    "name": "spoilt",
    "case": {"type": "case", "id": "x", **CASE},
    "expected": {"id": "x", "layers": [{"z": [[1, 2]]}]},
    "title": "a title",
    "source": "a book",
    "published": {"loss": "0.5"},
    "erratum": None,
    "kept": {"code": "BP107"},
}
KNOWN = b'[[known]]\nid = "mlp-*"\noutcome = "mismatched"\nbug = "BP107"\nreason = "later"\nissue = "none"\n'
CONFIG = b'[implementations.mine]\ncommand = "python3 port.py"\nsetup = "make"\n[implementations.b]\npython = "m:f"\n'
PROJECT = b"[tool.other]\nx = 1\n[tool.backprop-check.implementations.python]\ncommand = 'python3 port.py'\n"

_FAILURE = Result(
    id="spoilt-1",
    outcome="mismatched",
    message="wrong",
    mismatches=[],
    mismatch_count=1,
    case={"name": "spoilt", **CASE},
    actual={"layers": [{"gradients": {"weights": [[1.0], [2.0]], "biases": [1.0, 2.0]}}]},
)
_PASSED = Result(id="right-1", outcome="passed", seconds=0.5, values_checked=9, neurons_checked=2, notes=["a note"])
_EARLY = Early(7, _PASSED, [("z", 0, None)])
_HEAD = b'{"head":1\n'


def results_file(folder: Path) -> bytes:
    """The results file of an interrupted run."""
    info = ImplementationInfo("mine", "Python", "1", "python3 port.py", "float64")
    path = folder / "made.json"
    with ResultsFile(path, info, {"seed": 0}, ["backprop-check"]) as file:
        file.add(_PASSED, [Slot("z", 0), Slot("loss")])
        file.add(_FAILURE)
        file.finish(Conclusion(notes=["a note"]), complete=False)
    data = path.read_bytes()
    path.unlink()
    return data


def ahead_file(folder: Path) -> bytes:
    """The file of results that arrived out of order, which lies next to a results file."""
    results = folder / "made.json"
    ahead = EarlyResults(results, _HEAD)
    ahead.keep(7, _PASSED, [Slot("z", 0)])
    data = early_path(results).read_bytes()
    ahead.close(complete=True)
    return data


def _put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _case(data: bytes, folder: Path) -> None:
    _worked_out(read_case_file(_put(folder, "spoilt.json", data)).case)


def _bare_case(data: bytes, folder: Path) -> None:  # noqa: ARG001 - as all readers
    case = Case.from_json(data)
    check_work(case, "here")
    _worked_out(case)


def _worked_out(case: Case) -> None:
    """Check that an accepted case can be sent, and computed where it is small."""
    case.request()
    assert Case.from_json(msgspec.json.encode(case.to_dict())) == case
    if case.steps < 10 and len(case.inputs) < 10:
        expect(case)


def _results(data: bytes, folder: Path) -> None:
    value = read_file(_put(folder, "results.json", data))
    checked(value)
    if len(data) < 20_000:
        render([value])


def _unfinished(data: bytes, folder: Path) -> None:
    found = read_unfinished(_put(folder, "results.json", data))
    summary_of(found).to_dict()
    assert len(list(found.results())) == found.count


def _ahead(data: bytes, folder: Path) -> None:
    early_path(folder / "results.json").write_bytes(data)
    for position, each in read_early(folder / "results.json", _HEAD, 3).items():
        assert position >= 3
        assert isinstance(each.slots, tuple)


def _known(data: bytes, folder: Path) -> None:
    unlike_known(read_known(_put(folder, "known.toml", data)), [_PASSED, _FAILURE], {})


def _config(data: bytes, folder: Path) -> None:
    _put(folder, "backprop-check.toml", data)
    for entry in implementations(folder).values():
        assert isinstance(entry.spec, str)


def _project(data: bytes, folder: Path) -> None:
    (folder / "backprop-check.toml").unlink(missing_ok=True)
    _put(folder, "pyproject.toml", data)
    implementations(folder)


def _kept(data: bytes, folder: Path) -> None:
    place = folder / ".backprop-check" / "failures"
    place.mkdir(parents=True, exist_ok=True)
    _put(place, "spoilt.json", data)
    for each in kept_failures(folder):
        assert each.code is None or isinstance(each.code, str)


#: Each reader with a function that makes a valid file for it.
READERS: dict[str, tuple[Callable[[bytes, Path], None], Callable[[Path], bytes]]] = {
    "case file": (_case, lambda _: json.dumps(CASE_FILE).encode()),
    "bare case": (_bare_case, lambda _: json.dumps({"name": "bare", **CASE}).encode()),
    "results": (_results, results_file),
    "unfinished results": (_unfinished, results_file),
    "results ahead": (_ahead, ahead_file),
    "known failures": (_known, lambda _: KNOWN),
    "configuration": (_config, lambda _: CONFIG),
    "pyproject.toml": (_project, lambda _: PROJECT),
    "kept failures": (_kept, lambda _: json.dumps(CASE_FILE).encode()),
}


def read(name: str, data: bytes, folder: Path) -> str | None:
    """Read ``data`` as such a file; return the error's sentence, or None where there is no error."""
    said = ""
    try:
        READERS[name][0](data, folder)
    except BackpropCheckError as error:
        said = str(error) or "an error without a sentence"
    assert said != "an error without a sentence"
    assert len(said) < LONGEST, f"an error of {len(said)} characters"
    clean_text(said).encode("utf-8")
    return said or None
