"""From results files to bytes: deterministic, safe for any input, within limits, and numbers exact to the bit."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import make_results
import numpy as np
import pytest
from click.testing import CliRunner

from backprop_check.api import check
from backprop_check.case.network import ACTIVATIONS, LOSSES, Case
from backprop_check.cases.generate import generated_case
from backprop_check.commands.report import command
from backprop_check.compare.expected import expect
from backprop_check.compare.places import Places
from backprop_check.compare.trace import Slot
from backprop_check.errors import ResultsError
from backprop_check.report.html import glossary, packing, render, summary_html, write_report
from backprop_check.report.html.detail import detail
from backprop_check.report.html.read import CaseResult, Harness
from backprop_check.report.html.sheets import choose, sheets_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def mazur() -> dict[str, Any]:
    return make_results.mazur_results(24)


def parts(page: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The page's index and its cases."""
    found = re.findall(rb'<script type="application/json" id="(\w+)">(.*?)</script>', page, re.DOTALL)
    read = {name.decode(): json.loads(text) for name, text in found}
    return read.pop("index"), list(read.values())


def test_same_results_same_bytes(mazur: dict[str, Any], tmp_path: Path) -> None:
    """In this process, in another with other hash seeds, and from files."""
    page = render([mazur])
    assert render([copy.deepcopy(mazur)]) == page
    file = tmp_path / "results.json"
    file.write_text(json.dumps(mazur))
    for seed in ("0", "7"):
        out = tmp_path / f"{seed}.html"
        code = f"from backprop_check.report.html import write_report; write_report([{str(file)!r}], {str(out)!r})"
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
        assert out.read_bytes() == page


def test_every_case_holds_what_was_judged() -> None:
    """Expected and allowed are the reference's; got is the reply's to the bit; wrong is what the judge found."""
    results = make_results.judged(make_results.without_slope, make_results.mazur_cases(40), name="x")
    index, details = parts(render([results]))
    assert index["impls"][0]["fails"] == len(details) > 30
    failing = [case for case in results["cases"] if case["outcome"] == "mismatched"]
    for record, body in zip(failing, details, strict=True):
        case = make_results.case_of({**record["case"], "type": "case"})
        expected = expect(case)
        wrong = {
            (one["quantity"], one["layer"]): 0 for one in record["mismatches"] if one["step"] is None
        }  # which slots have any
        for slot, values in expected.values.items():
            if slot.step is not None:
                continue
            key = slot.quantity + ("" if slot.layer is None else f".{slot.layer}")
            held = body["slots"][key]
            right = np.array(held["e"], dtype=float)
            assert np.all(abs(right - values.ravel()) <= expected.allowed[slot].ravel())
            assert ("x" in held) == ((slot.quantity, slot.layer) in wrong)
        assert body["count"] == record["mismatch_count"]
        assert sum(len(held.get("x", ())) for held in body["slots"].values()) + len(body["others"]) == body["count"]


def test_the_mathematics_told_gives_the_expected_values() -> None:
    """For every activation and loss: the last number of each formula is the one that the page shows for it."""
    seen, losses, checked = set(), set(), 0
    for index in range(0, 260, 3):
        case = generated_case(index)
        body = detail(CaseResult(id=case.id, outcome="error", case=case.to_dict()), "float64", Harness())
        losses.add(case.loss.kind)
        for key, told in body["told"].items():
            for step in told["steps"]:
                if "at" not in step:
                    continue
                number, unit, k = step["at"]
                sheet = body["sheets"][number]
                sample = [body["shownSamples"].index(int(part)) for part in key.split(":")[2:]]
                place = (sample[0] * math.prod(sheet["shape"]) if sample else 0) + unit
                expected = float(body["slots"][sheet["keys"][k]]["e"][place])
                assert value_told(step["t"]) == pytest.approx(expected, rel=1e-5, abs=1e-12), (case.id, key, step)
                seen.add(case.network.layers[sheet["node"] - 1].activation)
                checked += 1
    assert checked > 3000
    assert seen == set(ACTIVATIONS)
    assert losses == set(LOSSES)


def value_told(text: str) -> float:
    """The value of a step: the number after the last = of its formula, before its terms and the chain rule."""
    formula = re.split(r"\n(?:\+ (?:through|at|sample|one more)|chain rule)", text)[0]
    return float(formula.rpartition("= ")[2].replace("~E", "-"))


def test_words_and_signs() -> None:
    """Every word that the page explains is in the glossary, and formulas are packed in ASCII codes that do not
    collide.
    """
    from backprop_check.report.html.page import SCRIPTS, _asset  # noqa: PLC0415

    script = "".join(map(_asset, SCRIPTS))
    assert set(re.findall(r"term\('(\w+)'", script)) <= set(glossary.GLOSSARY)
    assert packing.short("δ⁽²⁾₀ = ~x⁽¹²⁾") == "~B~2~n = ~~x~k~b~c~l"
    assert len(packing.SIGNS) == len(set(packing.SIGNS)) <= len(packing.CODES)


def test_nothing_hostile_reaches_the_markup() -> None:
    """The bytes hold one script of ours, data that opens no tag, and nothing that acts on a terminal."""
    page = render([make_results.hostile_results()])
    text = page.decode("ascii" if page.isascii() else "utf-8")
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]", text)
    for data in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL):
        assert not re.search("[<>&\x80-\U0010ffff]", data)
        json.loads(data)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1].replace("&#39;", "'")
    assert "unsafe" not in policy[1]


def test_hints_hold_no_number_of_the_solution() -> None:
    """With hints only, the page contains no expected value and no bound."""
    results = make_results.hidden_results()
    full = make_results.judged(make_results.ascending, (generated_case(i) for i in range(12)), name="homework")
    page = render([results]).decode()
    numbers = {repr(one["expected"]) for case in full["cases"] for one in case["mismatches"]}
    assert len(numbers) > 20
    assert not [number for number in numbers if len(number) > 6 and number in page]
    _, details = parts(render([results]))
    assert all("slots" not in body and body["others"] for body in details)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(schema=2), r"at \$.schema: expected 1"),
        (lambda d: d.update(schema=True), r"at \$.schema: expected 1"),
        (lambda d: d.pop("cases"), "cases"),
        (lambda d: d.update(cases={}), r"at \$.cases: expected"),
        (lambda d: d["cases"][0].update(outcome="great"), r"at \$.cases\[0\].outcome|outcome"),
        (lambda d: d["cases"][0].update(id=7), r"at \$.cases\[0\].id"),
        (lambda d: d["cases"][0].update(id=""), r"\$.cases\[0\].id"),
        (lambda d: d["cases"][0].update(seconds="soon"), r"\$.cases\[0\].seconds"),
        (lambda d: d["cases"][0]["mismatches"][0].update(layer=-1), r"mismatches\[0\].layer"),
        (lambda d: d["implementation"].update(dtype="float8"), "dtype"),
        (lambda d: d["cases"][0].update(case=[[[]]]), r"\$.cases\[0\].case"),
    ],
)
def test_what_is_no_results_file_is_said_in_a_sentence(mazur: dict[str, Any], change: Any, sentence: str) -> None:
    broken = copy.deepcopy(mazur)
    change(broken)
    with pytest.raises(ResultsError, match=sentence) as caught:
        render([broken])
    assert "\n" not in str(caught.value)


def test_depth_and_files_have_limits(tmp_path: Path, mazur: dict[str, Any]) -> None:
    deep: Any = 0
    for _ in range(500):
        deep = [deep]
    with pytest.raises(ResultsError, match="nested deeper"):
        render([{**mazur, "extra": deep}])
    with pytest.raises(ResultsError, match="at least one"):
        render([])
    bad = {"text.json": "{not json", "list.json": "[1]", "nan.json": '{"schema": NaN}', "deep.json": "[" * 100_000}
    for name, text in bad.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ResultsError, match=name):
            write_report([tmp_path / name], tmp_path / "out.html")
    with pytest.raises(ResultsError, match=r"gone\.json cannot be read: No such file"):
        write_report([tmp_path / "gone.json"], tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
    (tmp_path / "good.json").write_text(json.dumps(mazur))
    with pytest.raises(ResultsError, match="cannot be written"):
        write_report([tmp_path / "good.json"], tmp_path / "good.json" / "out.html")


@pytest.mark.parametrize("seed", range(60))
def test_odd_cases_and_replies_do_no_harm(mazur: dict[str, Any], seed: int) -> None:
    """Whatever an untrusted case or reply contains, the result is a page or an error sentence."""
    rng = np.random.default_rng(seed)
    junk: list[Any] = [None, True, -1, 1e308, "NaN", "x", [], {}, [[]], 2**70, -0.0, "Infinity", [1.0], {"a": 1}]

    def spoil(value: Any) -> Any:
        if rng.random() < 0.04:
            return junk[int(rng.integers(len(junk)))]
        if isinstance(value, dict):
            return {key: spoil(item) for key, item in value.items()}
        return [spoil(item) for item in value] if isinstance(value, list) else value

    results = json.loads(json.dumps(mazur))
    for case in results["cases"]:
        for key in ("case", "actual", "mismatches"):
            if case.get(key):
                spoiled = spoil(case[key])
                case[key] = spoiled if type(spoiled) is type(case[key]) else case[key]
    said = ""
    try:
        index, details = parts(render([results]))
    except ResultsError as error:
        said = str(error)
    else:
        assert len(details) == index["impls"][0]["fails"]
    assert "\n" not in said


def test_a_case_that_takes_for_ever_is_not_worked_out(mazur: dict[str, Any]) -> None:
    results = copy.deepcopy(mazur)
    results["cases"][0]["case"]["steps"] = 10**12
    _, details = parts(render([results]))
    assert "cannot be computed again: it takes more than" in details[0]["why"]
    assert details[0]["others"]


def test_a_verdict_is_the_files_own(mazur: dict[str, Any]) -> None:
    """A value is called wrong on the page exactly where the file calls it wrong."""
    results = copy.deepcopy(mazur)
    case = results["cases"][0]
    first = case["mismatches"].pop(0)
    case["mismatch_count"] -= 1
    _, details = parts(render([results]))
    held = details[0]["slots"][f"{first['quantity']}.{first['layer']}"]
    assert 0 not in held.get("x", [])
    assert held["g"][0] != 0  # the number itself is still shown


def test_large_networks_are_cut_the_wrong_first() -> None:
    results = make_results.digits_results()
    _, (body,) = parts(render([results]))
    wrong = {one["neuron"] for one in results["cases"][0]["mismatches"] if one["layer"] == 0}
    hidden = next(sheet for sheet in body["sheets"] if sheet["node"] == 1)
    assert wrong <= set(hidden["shown"])
    assert len(json.dumps(body)) < 500_000
    case = make_results.case_of(results["cases"][0]["case"]) if results["cases"][0]["case"] else None
    assert case is not None
    sheets = sheets_of(case, expect(case).values, Places(case))
    for sheet in sheets:
        sheet.state = ["."] * sheet.units
    for neuron in range(20, 128):
        sheets[1].state[neuron] = "i"
    for neuron in (3, 127):
        sheets[1].state[neuron] = "r"
    samples = choose(sheets, len(case.inputs), [31], 20_000)
    assert {127, 3} <= set(sheets[1].shown)
    assert len(sheets[1].shown) < 128
    assert 31 in samples
    inputs = case.network.input_units
    assert {divmod(weight, inputs)[0] for weight in sheets[2].shown} == set(sheets[1].shown)


def test_values_recovered_from_gradients_are_shown() -> None:
    """For a port that reports gradients only, the recovered δ is shown where it is wrong."""

    def only_gradients(request: dict[str, Any]) -> dict[str, Any]:
        reply = make_results.without_slope(request)
        layers = []
        for number, layer in enumerate(reply["layers"]):
            gradients = layer["gradients"]
            if number == len(reply["layers"]) - 1:
                gradients = {
                    "weights": [[4 * x for x in row] for row in gradients["weights"]],
                    "biases": [4 * x for x in gradients["biases"]],
                }
            layers.append({"gradients": gradients})
        return {"id": reply["id"], "layers": layers}

    results = make_results.judged(only_gradients, make_results.mazur_cases(), name="x")
    assert any(one["problem"] == "recovered" for case in results["cases"] for one in case["mismatches"])
    _, details = parts(render([results]))
    held = [
        slot for body in details for key, slot in body["slots"].items() if key.startswith("delta") and "rec" in slot
    ]
    assert held
    assert all((x is None) != (i in slot["x"]) for slot in held for i, x in enumerate(slot["g"]))


def test_where_a_wrong_value_beyond_those_listed_comes_from() -> None:
    """Only 200 mismatches are kept, but all inputs were reported: the page does not say that they were not."""
    wave = [[round(math.sin(3.1 * j + 1.3 * i) / 3, 3) for i in range(24)] for j in range(24)]
    layer = {"kind": "dense", "units": 24, "activation": "tanh", "parameters": {"weights": wave, "biases": wave[1]}}
    case = Case.from_dict(
        {
            "name": "wide",
            "network": {"inputs": 24, "layers": [layer, layer]},
            "loss": {"kind": "half_squared_error"},
            "reduction": "mean",
            "inputs": [wave[1], wave[2]],
            "targets": [wave[3], wave[4]],
        }
    )

    def shifted(request: dict[str, Any]) -> dict[str, Any]:
        reply = make_results.right_reply(request)
        for each in reply["layers"]:
            each["gradients"]["weights"] = [[x + 0.5 for x in row] for row in each["gradients"]["weights"]]
        return reply

    results = make_results.judged(shifted, [case], name="x")
    assert results["cases"][0]["mismatch_count"] == 2 * 24 * 24
    _, (body,) = parts(render([results]))
    origins = [slot["o"] for key, slot in body["slots"].items() if key.startswith("weight_gradient")]
    assert sum(map(len, origins)) > 300
    assert set("".join(origins)) == {"r"}


@pytest.mark.thorough
def test_many_cases_stay_small() -> None:
    """10,000 cases with 200 failing: at most 8 MB; with far more failing, the page says what it left out."""
    results = make_results.many_results()
    page = render([results])
    assert len(page) <= 8_000_000
    failing = [case for case in results["cases"] if case["outcome"] == "mismatched"]
    huge = {**results, "cases": [{**case, "id": f"{case['id']}-{n}"} for n in range(6) for case in failing]}
    page = render([huge])
    index, details = parts(page)
    assert len(page) <= 8_000_000
    assert index["left"]["bare"] > 0
    assert "--case" in details[-1]["why"]


def test_the_command(tmp_path: Path, mazur: dict[str, Any]) -> None:
    """``report RESULTS... --html PATH``, one of its cases, and a case that does not exist."""
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(mazur))
    out = tmp_path / "deep" / "report.html"
    run = CliRunner()
    done = run.invoke(command, [str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--html", str(out)])
    assert done.exit_code == 0
    assert str(out) in done.output.replace("\n", "")
    index, _ = parts(out.read_bytes())
    assert [one["label"] for one in index["impls"]] == ["mazur", "mazur (2)"]
    one = mazur["cases"][1]["id"]
    run.invoke(command, [str(tmp_path / "a.json"), "--html", str(out), "--case", one])
    assert parts(out.read_bytes())[0]["cases"]["id"] == [one]
    failed = run.invoke(command, [str(tmp_path / "a.json"), "--html", str(out), "--case", "nothing"])
    assert isinstance(failed.exception, ResultsError)
    assert "there is no case nothing" in str(failed.exception)


def test_notebook_summary(mazur: dict[str, Any]) -> None:
    """A verdict, the cause, the counts, the first failures; hostile text stays text."""
    right = make_results.judged(make_results.right_reply, make_results.mazur_cases(12), name="right")
    assert "✓ right computes all 14 cases right" in summary_html(right)
    assert "<table" not in summary_html(right)
    shown = summary_html(mazur)
    assert "✕ mazur does not compute backpropagation right: 2 of 3 judged cases fail (23 not applicable)." in shown
    assert "already been updated.</b> <code>BP107</code>" in shown
    assert "δⱼ = Σₖ w⁺ₖⱼ δₖ · φ′(zⱼ)" in shown

    class Holder:
        @staticmethod
        def to_dict() -> dict[str, Any]:
            return mazur

    assert summary_html(Holder()) == shown
    wrong = summary_html(make_results.hostile_results())
    assert "and 2 more" in wrong
    assert "<img" not in wrong
    assert "&lt;/script&gt;" in wrong
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800-\udfff]", wrong)


def test_a_notebook_shows_what_check_gives() -> None:
    """``check(…)`` as a notebook displays it."""
    shown = check(make_results.right_reply, cases=make_results.mazur_cases(4))._repr_html_()
    assert "✓ right_reply computes all 6 cases right" in shown


def test_importing_the_report_is_light() -> None:
    """The command's module imports neither jinja2 nor torch."""
    heavy = "('jinja2', 'torch', 'numpy')"
    code = f"import sys, backprop_check.commands.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_slots_are_named_as_the_trace_names_them() -> None:
    """Layers and quantities of the embedded case are those of the trace."""
    results = make_results.judged(make_results.ascending, make_results.mazur_cases(), name="x")
    _, (body, *_) = parts(render([results]))
    case = make_results.case_of(results["cases"][0]["case"])
    wanted = [slot for slot in expect(case).values if slot.step is None]
    named = [Slot(key.split(".")[0], int(key.split(".")[1]) if "." in key else None) for key in body["slots"]]
    assert sorted(named, key=str) == sorted(wanted, key=str)
