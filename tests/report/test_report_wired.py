"""The page of layers beyond the dense chain, in a real browser: grids of numbers, their places, their mathematics."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import make_results
import msgspec
import numpy as np

from backprop_check.case.network import Case
from backprop_check.cases.families import family_cases
from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Slot
from backprop_check.report.html import render
from backprop_check.report.html.detail import detail
from backprop_check.report.html.read import checked

if TYPE_CHECKING:
    from conftest import Look, Looking


def details(page: bytes) -> list[dict[str, Any]]:
    """The failing cases of a page."""
    found = re.findall(r'<script type="application/json" id="d\d+">(.*?)</script>', page.decode(), re.DOTALL)
    return [json.loads(text) for text in found]


def spot(page: Looking, address: str) -> None:
    """Click on a number."""
    page.page.locator(f'[data-at="{address}"]').click()


def test_a_convolution_opens_on_its_root(look: Look) -> None:
    """The network is drawn with its arrows, one grid per channel; the first wrong number is named by all its
    indexes.
    """
    page = look("convolution")
    assert page.text("#case-title").startswith("skipping-")
    assert page.text("#neuron-title") == "channel 0, row 0, column 0 of conv1"
    assert "Here is a mistake: its δ is wrong although everything" in page.text(".lead")
    assert page.page.locator(".canvas .arrow").count() == 5  # four layers, of which one reads two
    cells = page.page.locator('.canvas [data-l="1"]')
    assert cells.count() == 2 * 5 * 4
    assert page.page.locator('.canvas [data-l="1"].s-root').count() == 2 * 5 * 4
    assert page.page.locator(".canvas .lit").count() > 0  # what it is made of
    assert "input 1×5×4 → conv1 2×5×4" in page.text("#stage .facts")


def test_its_parameters_and_mathematics(look: Look) -> None:
    """The shared kernel's gradients are shown next to the unit; a weight shows the terms of its gradient."""
    page = look("convolution")
    table = page.text('[aria-label="values of this neuron"]')
    assert "weight [0, 0, 1, 1]" in table
    assert "bias [0]" in table
    assert "weight [1, 0, 1, 1]" not in table  # another channel's
    maths = page.text("#maths")
    assert "z⁽¹⁾[0,0,0] = w⁽¹⁾[0,0,1,1]·x[0,0,0]" in maths
    assert "Its weights are shared" in maths
    assert "through channel 0, row 0, column 0 of conv2" in maths
    spot(page, "conv1.weight:0,0,0,0")
    maths = page.text("#maths")
    assert page.text("#neuron-title") == "weight [0, 0, 0, 0] of conv1"
    assert "+ at channel 0, row 1, column 1, sample 0: δ⁽¹⁾[0,1,1]⟨0⟩·x[0,0,0]⟨0⟩" in maths
    assert "it is used at 12 places in each of 2 samples" in maths


def test_clicks_keys_and_addresses(look: Look) -> None:
    """A number is chosen by the mouse, the arrow keys and its address; samples and quantities can be changed."""
    page = look("convolution")
    spot(page, "conv1:0,1,2")
    assert page.text("#neuron-title") == "channel 0, row 1, column 2 of conv1"
    page.page.keyboard.press("ArrowRight")
    assert page.text("#neuron-title") == "channel 0, row 1, column 3 of conv1"
    page.page.keyboard.press("PageDown")
    assert page.text("#neuron-title") == "channel 1, row 1, column 3 of conv1"
    assert "neuron=conv1:1,1,3" in page.page.url
    again = look("convolution", fragment=page.page.url.partition("#")[2] and "#" + page.page.url.partition("#")[2])
    assert again.text("#neuron-title") == "channel 1, row 1, column 3 of conv1"
    again.page.locator(".samples button").nth(1).click()
    assert "those of sample 1" in again.text(".values caption")
    again.page.locator('.show input[value="z"]').check(force=True)
    assert again.page.locator('.canvas [data-l="1"].s-right').count() == 2 * 5 * 4
    spot(again, "input:0,0,0")
    assert again.text("#neuron-title") == "channel 0, row 0, column 0 of the input"


def test_what_is_downloaded_is_what_was_judged(look: Look) -> None:
    """Case and reply of every failing case, to the bit."""
    results = make_results.convolution_results()
    page = look("convolution")
    with page.page.expect_download() as waiting:
        page.page.locator("#download").click()
    saved = json.loads(waiting.value.path().read_text())
    assert checked(saved).implementation.name == "convolution"
    by_id = {case["id"]: case for case in saved["cases"]}
    wrong = [case for case in results["cases"] if case["outcome"] == "mismatched"]
    assert len(wrong) > 10
    for case in wrong:
        again = by_id[case["id"]]
        assert Case.from_dict(again["case"]) == Case.from_dict(case["case"])
        for key in ("loss", "input_gradients"):
            assert again["actual"][key] == case["actual"][key]
        for one, other in zip(again["actual"]["layers"], case["actual"]["layers"], strict=True):
            assert one == {name: value for name, value in other.items() if value is not None}
        ours, theirs = (
            {
                (one["quantity"], one["layer"], one["neuron"], one["sample"], *one["index"], *one["at"])
                for one in each["mismatches"]
            }
            for each in (again, case)
        )
        assert theirs <= ours | {("loss", None, None, None)}
        if case["mismatch_count"] == len(case["mismatches"]):
            assert theirs == ours


def test_every_sheet_holds_what_was_judged() -> None:
    """The numbers in the page are the reference's, in the order of the arrays; the states are the judge's."""
    results = make_results.convolution_results(6)
    read = checked(results)
    for case, found in zip(
        [one for one in read.cases if one.outcome == "mismatched"], details(render([results])), strict=True
    ):
        right = expect(Case.from_dict(case.case or {}))
        for sheet in found["sheets"]:
            for key in sheet["keys"]:
                quantity, _, layer = key.partition(".")
                slot = Slot(quantity, int(layer) if layer else None)
                assert np.allclose(found["slots"][key]["e"], right.values[slot].ravel(), rtol=1e-12, atol=1e-15)
        listed = {(one.layer, one.quantity) for one in case.mismatches or ()}
        shown = {
            (sheet["node"] - 1 if sheet["node"] else None, key.partition(".")[0])
            for sheet in found["sheets"]
            for key in sheet["keys"]
            if found["slots"][key].get("x")
        }
        assert shown == listed - {(None, "loss")}
        assert found["told"]


def test_a_large_case_is_cut_the_wrong_first() -> None:
    """Of an image that is too large a part is kept, wrong values before right ones, and the page says so."""
    (case,) = family_cases("convolution", 1)
    big = msgspec.json.decode(msgspec.json.encode(case.to_dict()))
    r = np.random.default_rng(1)
    layer = {"kind": "conv2d", "name": "conv1", "out_channels": 4, "kernel_size": [3, 3], "activation": "tanh",
             "parameters": {"weight": r.normal(size=(4, 1, 3, 3)).round(2).tolist()}}  # fmt: skip
    big["network"] = {"inputs": [1, 40, 40], "layers": [layer]}
    big["inputs"] = r.normal(size=(2, 1, 40, 40)).round(2).tolist()
    big["targets"] = r.normal(size=(2, 4, 38, 38)).round(2).tolist()
    big["loss"] = {"kind": "squared_error"}

    def one_channel(request: dict[str, Any]) -> dict[str, Any]:
        reply = make_results.right_reply(request)
        delta = np.array(reply["layers"][0]["delta"])
        delta[1, 2] *= 2
        return {**reply, "layers": [{**reply["layers"][0], "delta": delta.tolist()}]}

    one_channel.supports = make_results.half_kernel.supports  # type: ignore[attr-defined]
    results = make_results.judged(one_channel, [Case.from_dict(big)], name="big")
    read = checked(results)
    found = detail(read.cases[0], "float64", read.harness)
    sheet = next(one for one in found["sheets"] if one["title"] == "a")
    assert found["shownSamples"] == [0, 1]
    assert found["badSamples"] == [0, 1]
    assert len(sheet["shown"]) < 4 * 38 * 38
    channels = {unit // (38 * 38) for unit in sheet["shown"]}
    assert channels == {2}
    assert set(sheet["status"]) <= {"r", "u"}  # the file does not list them all
    assert "request" not in found


ODD: list[dict[str, Any]] = [
    {"layer": 99},
    {"neuron": 10**6},
    {"quantity": "weight_gradient", "index": [10**6]},
    {"at": [9, 9]},
    {"quantity": "nonsense"},
    {"index": [1, 2, 3]},
    {"sample": 50},
]


def test_odd_findings_of_a_stranger_do_no_harm() -> None:
    """Places that the network does not have are listed in words, and nothing is raised."""
    results = make_results.convolution_results(3)
    for case in results["cases"]:
        for n, one in enumerate(case.get("mismatches", ())):
            one.update(ODD[n % len(ODD)])
        if isinstance(case.get("actual"), dict):
            case["actual"]["layers"][0]["z"] = [[["x"]]]
    page = render([results])
    assert all(found.get("sheets") for found in details(page))
