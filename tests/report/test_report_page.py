"""Every view and interaction of the page, in a real browser."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import make_results
import msgspec
import pytest
from conventional import conventional

from backprop_check import check
from backprop_check.case.network import Case
from backprop_check.cases.files import suite_files
from backprop_check.cases.training import RECIPES, training_cases
from backprop_check.report.html import render
from backprop_check.report.html.read import checked

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Look, Looking

MAZUR = "mazur-2x2x2-228ffa04"


def chosen(looking: Looking) -> str:
    """The heading of the panel."""
    return looking.text("#neuron-title")


def test_the_page_opens_on_the_root(look: Look) -> None:
    """Verdict, cause, network and the wrong neuron's mathematics are there without a click."""
    page = look("mazur")
    assert page.text(".sentence").endswith("mazur does not compute backpropagation right: 2 of 2 judged cases fail.")
    assert "sent back through weights" in page.text(".cause .say")
    assert page.text(".cause .is-wrong dd") == "δⱼ = Σₖ w⁺ₖⱼ δₖ · φ′(zⱼ)"
    assert page.text("#case-title") == MAZUR
    assert chosen(page) == "neuron 0 of hidden1"
    assert "Here is a mistake: its δ is wrong although everything" in page.text(".lead")
    assert page.page.locator(".neuron.s-root").count() >= 2
    assert page.page.locator(".canvas .line.e-inherited").count() == 4


def test_numbers_are_those_of_the_file(look: Look) -> None:
    """Every value, right or wrong, is the reply's to the bit, and its verdict the judge's."""
    results = make_results.judged(make_results.without_slope, make_results.mazur_cases(24), name="batch")
    page = look("batch")
    wrong = [case for case in results["cases"] if case["outcome"] == "mismatched"]
    assert len(wrong) > 20
    for case in wrong[:5]:
        page.page.evaluate("(id) => { location.hash = '#case=' + id; }", case["id"])
        page.page.wait_for_function("(id) => document.getElementById('case-title').textContent === id", arg=case["id"])
        with page.page.expect_download() as waiting:
            page.page.locator("#download-case").click()
        saved = json.loads(waiting.value.path().read_text())
        assert Case.from_dict(saved) == Case.from_dict(case["case"])
    with page.page.expect_download() as waiting:
        page.page.locator("#download").click()
    saved = json.loads(waiting.value.path().read_text())
    by_id = {case["id"]: case for case in saved["cases"]}
    for case in wrong:
        again = by_id[case["id"]]
        assert again["actual"] == _without_trajectory(case["actual"])
        assert Case.from_dict(again["case"]) == Case.from_dict(case["case"])
        assert _places(again) == _places(case)


def embedded_in(page: bytes) -> dict[str, Any]:
    """The data blocks of a page, by id."""
    found = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', page.decode(), re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def _places(case: dict[str, Any]) -> set[tuple[Any, ...]]:
    """The mismatches as tuples; 1 and 1.0 are the same number."""
    return {
        (
            *(one[key] for key in ("quantity", "layer", "neuron", "sample", "expected", "actual", "origin")),
            *one["index"],
        )
        for one in case["mismatches"]
        if one.get("step") is None
    }


def _without_trajectory(actual: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in actual.items() if key in ("loss", "layers", "input_gradients")}
    kept["layers"] = [{key: value for key, value in layer.items() if value is not None} for layer in kept["layers"]]
    return kept


def test_downloaded_results_are_results(look: Look) -> None:
    """The downloaded file is a results file: a report of it opens."""
    page = look("mazur")
    with page.page.expect_download() as waiting:
        page.page.locator("#download").click()
    assert waiting.value.suggested_filename == "results.json"
    saved = json.loads(waiting.value.path().read_text())
    assert checked(saved).implementation.name == "mazur"
    again, before = embedded_in(render([saved])), embedded_in(render([make_results.mazur_results()]))
    assert again.pop("index")["cases"] == before.pop("index")["cases"]
    assert again == before


def test_conventions_at_kinks(look: Look, tmp_path: Path) -> None:
    """A list of its own, and part of the downloaded results."""
    edge = [file.case for file in suite_files("edge") if file.case.name in ("kink-leaky-relu", "kink-hinge")]
    results = check(conventional("jax", tmp_path / "port"), cases=edge)
    page = look(results.to_html(tmp_path / "page.html"))
    assert page.text(".conventions summary") == "2 conventions at kinks"
    page.page.locator(".conventions summary").click()
    assert "at z = 0 the slope of leaky_relu is 1 here; PyTorch takes 0.25" in page.text(".conventions ul")
    with page.page.expect_download() as waiting:
        page.page.locator("#download").click()
    saved = json.loads(waiting.value.path().read_text())
    assert saved["conventions"] == results.to_dict()["conventions"]


def test_cases_filter_search_and_sort(look: Look) -> None:
    """Failed first; each filter, the search and each order, and back."""
    page = look("several")
    names, listed = page.page.locator("#rows tr th a"), page.page.locator("#listed")
    first = page.page.locator("#rows tr").first
    assert "wrong numbers" in first.inner_text()
    page.page.locator("#search").fill("mazur-2x2x2 ascending")
    assert names.count() == 1
    assert "1 of 78 cases" in listed.inner_text()
    page.page.locator("#search").fill("no such thing")
    assert "No case fits" in page.text("#rows")
    page.page.get_by_role("button", name="Show all").click()
    assert "78 cases" in listed.inner_text()
    page.page.locator("#f-outcome").select_option("passed")
    assert all("passed" in text for text in page.page.locator("#rows .under").all_inner_texts())
    page.page.locator("#f-outcome").select_option("fails")
    page.page.locator("#f-impl").select_option("0")
    assert names.all_inner_texts() == [MAZUR, "mazur-2x2x3-609df44b"]
    page.page.locator("#f-impl").select_option("")
    page.page.locator("#f-cause").select_option("BP107")
    assert names.count() == 2
    page.page.locator("#f-cause").select_option("")
    page.page.locator("#f-suite").select_option("0")
    assert {"mazur-2x2x2-228ffa04", "mazur-2x2x3-609df44b"} == set(names.all_inner_texts())
    page.page.locator("#f-suite").select_option("")
    page.page.locator("#f-outcome").select_option("all")
    page.page.locator("th[data-sort=id] button").click()
    ids = names.all_inner_texts()
    assert ids == sorted(ids)
    page.page.locator("th[data-sort=id] button").click()
    assert names.all_inner_texts() == ids[::-1]
    assert page.page.locator("th[data-sort=id]").get_attribute("aria-sort") == "descending"
    page.page.locator("th[data-sort=count] button").click()
    counts = [int(text or 0) for text in page.page.locator("#rows td.n").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    for order in ("failed", "sec", "file"):
        page.page.locator("#f-sort").select_option(order)
        assert names.count() == 78


def test_keyboard(look: Look) -> None:
    """j k, n p, /, Escape, t, ?."""
    page = look("batch")
    keys = page.page.keyboard
    ids = page.page.locator("#rows tr th a").all_inner_texts()
    keys.press("j")
    page.page.wait_for_function("(id) => document.getElementById('case-title').textContent === id", arg=ids[1])
    assert page.page.locator("#rows tr.current a").inner_text() == ids[1]
    keys.press("k")
    page.page.wait_for_function("(id) => document.getElementById('case-title').textContent === id", arg=ids[0])
    before = chosen(page)
    keys.press("n")
    assert chosen(page) != before
    assert "neuron" in page.text("#say")
    keys.press("p")
    assert chosen(page) == before
    keys.press("/")
    keys.type("n")
    assert page.page.locator("#search").input_value() == "n"
    assert chosen(page) == before
    keys.press("Escape")
    keys.press("?")
    assert page.page.locator("#help").is_visible()
    assert "previous wrong neuron" in page.text("#help")
    keys.press("Escape")
    assert not page.page.locator("#help").is_visible()


def test_the_theme_is_kept(look: Look) -> None:
    """t and the button go through system, light, dark; the choice survives a reload."""
    page = look("mazur", scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.page.evaluate(ground)
    page.page.keyboard.press("t")
    assert page.page.evaluate(ground) == light
    page.page.locator("#theme").click()
    dark = page.page.evaluate(ground)
    assert dark != light
    page.page.reload()
    assert page.page.evaluate(ground) == dark
    page.page.locator("#theme").click()
    assert page.page.evaluate(ground) == light


def test_the_diagram(look: Look) -> None:
    """A click and the arrow keys select; the circles show z, a or δ; a line leads to its neuron."""
    page = look("batch", "#case=mlp-3x4x5-gelu-s0002-a70d160a")
    neuron = page.page.locator("[data-at='output:2']")
    neuron.click()
    assert chosen(page) == "neuron 2 of output"
    assert neuron.get_attribute("aria-pressed") == "true"
    neuron.focus()
    page.page.keyboard.press("ArrowDown")
    assert chosen(page) == "neuron 3 of output"
    page.page.keyboard.press("ArrowLeft")
    assert chosen(page).endswith("of hidden1")
    page.page.keyboard.press("ArrowUp")
    page.page.keyboard.press("ArrowRight")
    assert chosen(page).endswith("of output")
    focused = page.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith(chosen(page))
    shown = []
    for key in ("z", "a", "delta"):
        page.page.locator(f".show input[value={key}]").check(force=True)
        shown.append(page.page.locator("[data-at^='hidden1:'] ~ .value").all_text_contents())
    assert shown[0] != shown[1] != shown[2]
    page.page.locator(".canvas line.line:not(.plain)").first.dispatch_event("click")
    assert chosen(page).startswith("neuron")


def test_samples(look: Look) -> None:
    """The samples of a batch are switched through, by button and by key."""
    page = look("batch", "#case=mlp-3x4x5-gelu-s0002-a70d160a&neuron=1:0&sample=0")
    assert page.page.locator(".samples button").count() == 3
    got = page.text("tr[data-q=delta] .got")
    page.page.locator(".samples button").nth(1).click()
    assert page.text("tr[data-q=delta] .got") != got
    assert "sample=1" in page.page.url
    page.page.keyboard.press("[")
    assert page.text("tr[data-q=delta] .got") == got
    page.page.keyboard.press("]")
    page.page.keyboard.press("]")
    assert page.page.locator(".samples button[aria-pressed=true]").inner_text().startswith("2")


def test_the_mathematics_adds_up(look: Look) -> None:
    """What is written term by term sums to the value that the judge expects."""
    page = look("mazur", f"#case={MAZUR}&neuron=0:0")
    sections = page.page.locator("#maths details")
    assert sections.count() == 4
    forward = page.page.locator("[data-section=forward] .lines").first.inner_text()
    assert "z⁽¹⁾₀ = w⁽¹⁾₀₀·x₀ + w⁽¹⁾₀₁·x₁ + b⁽¹⁾₀" in forward
    put_in, value = (line.partition("= ")[2] for line in forward.splitlines()[1:])
    assert eval(put_in.replace("·", "*")) == pytest.approx(float(value)) == 0.3775  # noqa: S307 - our own text
    backward = page.page.locator("[data-section=backward]").inner_text()
    assert "+ through neuron 1 of output: w⁽²⁾₁₀·δ⁽²⁾₁ = 0.5·(−0.0380982) = −0.0190491" in backward
    assert "As it was computed (BP107)" in backward
    assert "= 0.00877135" in backward
    gradients = page.page.locator("[data-section=gradients]")
    assert (
        "With what was replied before it: 0.00729446·0.05 = 0.000364723; its own step is right."
        in gradients.inner_text()
    )
    gradients.locator("select").select_option("1")
    assert "It replied 0.007294458" in gradients.inner_text()
    update = page.page.locator("[data-section=update]")
    assert "= 0.149781" in update.inner_text()
    update.locator("summary").click()
    page.page.locator("[data-at='hidden1:1']").click()
    assert page.page.locator("[data-section=update]").get_attribute("open") is None  # what was closed stays closed


def test_inherited_is_told_from_root(look: Look) -> None:
    """A neuron that only passes on a mistake is not blamed, and the δ that it received are shown."""
    page = look("batch", "#case=mlp-3x2x5-softmax-s0001-66d61fab&neuron=0:0")
    assert "only because something it is computed from is wrong" in page.text(".lead")
    assert page.page.locator(".panel.s-inherited").count() == 1
    assert page.page.locator("[data-section=backward] .fed").count() > 0


def test_addresses(look: Look) -> None:
    """A case, a neuron and a sample have an address, by index and by name; an invalid one does no harm."""
    page = look("mazur", "#case=mazur-2x2x3-609df44b&neuron=hidden1:1")
    assert page.text("#case-title") == "mazur-2x2x3-609df44b"
    assert chosen(page) == "neuron 1 of hidden1"
    page.page.locator("[data-at='output:0']").click()
    assert page.page.url.endswith("#case=mazur-2x2x3-609df44b&neuron=output:0")
    page.page.goto(f"{page.url}#case=mazur-2x2x3-609df44b&neuron=0:1")
    page.page.wait_for_function("document.getElementById('neuron-title').textContent === 'neuron 1 of hidden1'")
    for wrong in ("#case=nothing", f"#case={MAZUR}&neuron=9:9", f"#case={MAZUR}&neuron=x&sample=-4&impl=7", "#cases"):
        page.page.goto(page.url + wrong)
    page.page.goto(f"{page.url}#case={MAZUR}&neuron=99:1&sample=77")
    page.page.wait_for_function("document.getElementById('case-title').textContent.startsWith('mazur-2x2x2')")
    assert chosen(page) == "neuron 0 of hidden1"


def test_copying(look: Look) -> None:
    """The command and the request are valid for the command line and the protocol."""
    page = look("mazur", f"#case={MAZUR}")
    page.page.get_by_role("button", name="Copy the command that").click()
    page.page.wait_for_function("document.getElementById('say').textContent === 'Copied.'")
    read = "navigator.clipboard.readText()"
    assert page.page.evaluate(read) == (
        f"backprop-check run 'python3 backprop_check/ports/mazur/port.py' --case {MAZUR}"
    )
    page.page.get_by_role("button", name="Copy the request").click()
    page.page.wait_for_timeout(100)
    copied = page.page.evaluate(read)
    case = next(case for case in make_results.mazur_cases() if case.id == MAZUR)
    assert "\n" not in copied
    assert msgspec.json.decode(copied) == msgspec.json.decode(case.request())
    assert '"learning_rate":0.5' in copied


@pytest.mark.thorough
def test_training(look: Look) -> None:
    """The copied request is the one that was sent, for every optimizer; the panel describes the training."""
    cases = {case.id: case for case in training_cases(2 * len(RECIPES))}
    page = look("training")
    read = "navigator.clipboard.readText()"
    for name in list(cases)[::7]:
        page.page.goto(f"{page.url}#case={name}")
        page.page.wait_for_function(f"document.getElementById('case-title').textContent.startsWith('{name[:12]}')")
        page.page.get_by_role("button", name="Copy the request").click()
        page.page.wait_for_timeout(100)
        copied = msgspec.json.decode(page.page.evaluate(read))
        assert copied == msgspec.json.decode(cases[name].request())
    words = page.page.locator("details[data-section=update]").first.inner_text()
    assert "learning rate η = " in words
    assert "judged by the gradients and parameters that the implementation itself reported" in words


def test_the_glossary(look: Look) -> None:
    """A word's meaning shows on hover and on focus; Escape hides it."""
    page = look("mazur")
    word = page.page.locator("tr[data-q=delta] .term[data-term=delta]")
    tip = page.page.locator("#tip")
    word.hover()
    assert tip.is_visible()
    assert "δ = ∂L/∂z" in tip.inner_text()
    assert word.get_attribute("aria-describedby") == "tip"
    page.page.mouse.move(2, 2)
    assert not tip.is_visible()
    word.focus()
    assert tip.is_visible()
    page.page.keyboard.press("Escape")
    assert not tip.is_visible()
    box = tip.bounding_box()
    assert box is None or box["x"] >= 0


def test_large_layers_fold(look: Look) -> None:
    """784-128-10: the wrong neurons are drawn, the others are folded, the totals count all."""
    page = look("digits")
    drawn = page.page.evaluate(
        "[...document.querySelectorAll('[data-at^=\"hidden1:\"]')].map(x => x.getAttribute('aria-label'))"
    )
    assert any("neuron 90 of hidden1, root" in label for label in drawn)
    assert len(drawn) < 20
    assert "… 119 more" in page.page.locator(".more").nth(1).text_content()
    assert "… (781 more) + " in page.page.locator("[data-section=forward] .lines").first.inner_text()
    unfold = page.page.locator(".more[role=button]").nth(1)
    unfold.focus()
    page.page.keyboard.press("Enter")
    assert page.page.locator("[data-at^='hidden1:']").count() == 32
    assert "32 of 128 neurons of hidden1" in page.text("#stage .note")
    page.page.locator("table.values .rest button").click()
    assert page.page.locator("table.values tr[data-q=weight_gradient]").count() == 32


def test_several_implementations(look: Look) -> None:
    """The matrix filters, the same case is a click away, and one neuron's numbers are shown side by side."""
    page = look("several")
    cells = page.page.locator(".matrix .cell").all_inner_texts()
    assert cells[0] == "✕ 2 of 2 fail"
    assert cells[-1] == "✓ all 26 right"
    page.page.locator(".matrix tbody tr").nth(1).locator(".cell").nth(1).click()
    under = page.page.locator("#rows .under").all_inner_texts()
    assert len(under) == 24
    assert all("ascending · generated" in text for text in under)
    side = page.page.locator("[data-section=side]")
    heads = side.locator("thead th").all_inner_texts()
    assert heads == ["quantity", "expected", "mazur", "ascending", "right"]
    text = side.inner_text()
    assert "0.007294458" in text
    assert "0.0004385677" in text
    page.page.locator(".twins a", has_text="ascending").click()
    page.page.wait_for_function("location.hash.includes('impl=1')")
    assert "ascending" in page.text(".chips")
    page.page.locator(".twins a", has_text="right").click()
    page.page.wait_for_function("location.hash.includes('impl=2')")
    assert "are within what rounding allows" in page.text("#stage .note")


def test_causes_lead_to_their_cases(look: Look) -> None:
    """A cause shows its first case in the network, and lists the cases it explains."""
    page = look("several")
    page.page.get_by_role("button", name="Explains 2 cases").click()
    assert page.page.locator("#rows tr").count() == 2
    page.page.locator(".count", has_text="passed").first.click()
    assert "passed" in page.text("#rows .under")
    page.page.get_by_role("link", name="Look at it in the network").click()
    page.page.wait_for_function("location.hash.includes('mazur-2x2x2')")
    assert page.text("#case-title") == MAZUR


def test_a_failure_without_a_name_says_so_once(look: Look, tmp_path: Path) -> None:
    """The label of a case: code and title of its bug, or once that no name fits."""
    results = make_results.mazur_results()
    first, second = (each["id"] for each in results["cases"] if each["outcome"] == "mismatched")
    named = {**make_results.BP107, "explains": [first]}
    results["diagnoses"] = [named, {"code": None, "bug": None, "title": "no name fits", "explains": [second]}]
    path = tmp_path / "nameless.html"
    path.write_bytes(render([results]))
    chips = ".case-head .chip.code"
    assert look(path, f"#case={first}").text(chips) == "BP107 weights updated too early"
    assert look(path, f"#case={second}").text(chips) == "no name fits"


def test_hints_only(look: Look) -> None:
    """Places and verdicts, and no number of the solution anywhere in the file."""
    page = look("hints")
    assert "only the places are known" in page.text("#stage .note")
    assert "weight gradient, neuron 0 of layer 0, from input 0" in page.text(".others")
    assert page.page.locator(".others thead th").all_inner_texts() == ["where", "verdict"]


def test_what_is_hostile_stays_text(look: Look) -> None:
    """The implementation's markup, scripts, escapes and overrides are shown as text only."""
    page = look("hostile")
    assert "</script><img src=x" in page.text("h1 + .verdicts .sentence, .sentence")
    assert "\\x1b[31mred" in page.text(".message")
    assert "\\u202e" in page.text(".message")
    for row in page.page.locator("#rows tr th a").all():
        row.click()
    assert page.page.locator("img, iframe, script:not([type]):not(:last-of-type)").count() == 0
    page.page.get_by_role("button", name="Help").click()
    assert "49" not in page.text(".cause .say")
    code = page.page.locator("#command")
    assert code.count() == 1
    assert "\n" not in code.inner_text()


def test_every_kind_of_failure(look: Look) -> None:
    """A finding that is not about one neuron comes first; a case without a reply still shows its network and
    request.
    """
    page = look("odd")
    results = make_results.odd_results()
    said: dict[str, str] = {}
    for case in results["cases"][:24]:
        if case["outcome"] == "passed":
            continue
        page.page.evaluate("(id) => { location.hash = '#case=' + id; }", case["id"])
        page.page.wait_for_function("(id) => document.getElementById('case-title').textContent === id", arg=case["id"])
        assert page.page.locator(".canvas svg").count() == 1
        said[case["id"]] = page.page.locator("#stage").inner_text()
    text = "\n".join(said.values())
    assert "bias gradient, layer hidden1" in text
    assert "an array of" in text
    assert "missing" in text
    assert "∞" in text
    assert "RangeError: index 2" in text
    assert "Nothing was replied for this neuron" in text
    assert "Here is a mistake: its gradient is wrong" in text  # of an input
    assert "loss, update" in text
    assert "updated bias" in text
    assert page.page.locator(".step button").count() in (0, 1, 2)


def test_a_deep_network_scrolls_to_the_neuron(look: Look) -> None:
    """Of twelve layers the chosen neuron is in view, whichever it is."""
    page = look("deep")
    seen = """() => { const box = document.querySelector('.canvas').getBoundingClientRect();
        const at = document.querySelector('.chosen .body').getBoundingClientRect();
        return at.left >= box.left && at.right <= box.right; }"""
    assert chosen(page) == "neuron 0 of hidden11"
    assert page.page.evaluate(seen)
    for _ in range(12):
        page.page.keyboard.press("n")
        assert page.page.evaluate(seen), chosen(page)


@pytest.mark.thorough
def test_print_and_phone(look: Look) -> None:
    """In print there are no controls and all sections are open; on a phone nothing is wider than the screen."""
    page = look("mazur")
    page.page.locator("[data-section=forward] summary").click()
    page.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.page.emulate_media(media="print")
    assert not page.page.locator("#search").is_visible()
    assert page.page.locator("[data-section=forward]").get_attribute("open") is not None
    assert page.page.locator(".lines").first.is_visible()
    wide = """[...document.querySelectorAll('main *, header *')].filter(x =>
        x.getBoundingClientRect().right > 391 && !x.closest(
        '.scroll, .canvas, .rows, .formula, .command, pre, .hide, svg')).map(x => x.outerHTML.slice(0, 120))"""
    for name in ("mazur", "several", "hostile", "digits", "hints", "convolution"):
        phone = look(name, width=390, height=844)
        assert phone.page.evaluate(wide) == [], name
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_without_script_there_is_a_summary(browser: Any, reports: Any) -> None:
    """Without scripts the verdict and the first failures are shown."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(reports("mazur").as_uri())
    assert "2 of 2 judged cases fail" in page.inner_text("main")
    assert MAZUR in page.inner_text("main")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["mazur", "several", "hints", "digits", "batch", "odd", "convolution"])
def test_axe_finds_nothing(look: Look, axe: str, name: str, scheme: str) -> None:
    """No violation of accessibility, in any view, in light and in dark."""
    page = look(name, scheme=scheme)
    page.page.evaluate(axe)
    where = page.page.evaluate
    run = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(
        one => [one.id, one.nodes[0].html.slice(0, 200), one.nodes[0].failureSummary.slice(0, 300)]))"""
    assert where(run) == []
    if name == "mazur":
        page.page.keyboard.press("?")
        assert where(run) == []
