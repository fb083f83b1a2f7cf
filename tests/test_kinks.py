"""At a kink every slope between the one-sided derivatives is right, at a tie all shares that add up to 1."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from command_line import called
from conventional import Edit, conventional

from backprop_check import check
from backprop_check.case.network import Case
from backprop_check.cases.files import suite_files

if TYPE_CHECKING:
    from pathlib import Path

    from backprop_check import Results

HALF = {"kind": "half_squared_error"}


def dense(activation: str, weights: list[list[float]], biases: list[float], **more: Any) -> dict[str, Any]:
    """A layer."""
    parameters = {"weights": weights, "biases": biases}
    return {"kind": "dense", "units": len(biases), "activation": activation, "parameters": parameters, **more}


def made(name: str, layers: list[dict[str, Any]], inputs: list[Any], targets: list[Any], **more: Any) -> Case:
    """A case whose numbers are multiples of 1/8, so that every arithmetic hits the same kinks."""
    shape: Any = inputs[0]
    sizes = []
    while isinstance(shape, list):
        sizes.append(len(shape))
        shape = shape[0]
    network = {"inputs": sizes if len(sizes) > 1 else sizes[0], "layers": layers}
    about = {"loss": HALF, "reduction": "mean", **more}
    return Case.from_dict({"name": name, "network": network, "inputs": inputs, "targets": targets, **about})


def adam(**more: Any) -> dict[str, Any]:
    """The fields of Adam."""
    return {
        "kind": "adam", "learning_rate": 0.125, "betas": [0.5, 0.75], "eps": 0.125, "amsgrad": False,
        "weight_decay": 0.0, **more,
    }  # fmt: skip


TWO_LAYERS = [
    dense("relu", [[1.0, -0.5], [0.5, 0.25], [-1.0, 1.0]], [0.0, -0.5, 0.5]),
    dense("relu", [[0.5, 1.0, -1.0], [1.0, -0.5, 0.25]], [0.5, 0.125]),
    dense("identity", [[0.75, -1.5]], [0.25]),
]
OTHERS = [
    dense("leaky_relu", [[1.0], [-1.0]], [-1.0, 0.5], alpha=0.25),
    dense("hard_tanh", [[1.0, 0.5], [0.5, 1.0]], [1.25, -0.5]),
    dense("elu", [[0.5, -1.0], [1.0, 0.5]], [-1.0, 0.25], alpha=0.5),
]
SGD = {"kind": "sgd", "learning_rate": 0.5}
IMAGE = [[[1.0, 2.0, 2.0, 0.5], [2.0, 2.0, 1.0, 0.5], [0.0, 1.0, 2.0, 2.0], [0.5, 0.5, 2.0, 1.0]]]


@cache
def kinked() -> list[Case]:
    """Chains, graphs, convolution, recurrence, penalties; one step and several: all with numbers on kinks or ties."""
    relus = made("relus", TWO_LAYERS, [[0.5, 1.0], [1.0, 0.0], [0.0, 0.0]], [[1.0], [0.5], [0.0]])
    graph = [
        dense("relu", [[1.0, -1.0], [1.0, 0.5]], [0.0, 0.25], name="one"),
        dense("leaky_relu", [[0.5, 0.5], [1.0, -1.0]], [-0.5, 0.5], name="two", **{"from": ["input"]}, alpha=0.125),
        dense("identity", [[1.0, -0.5]], [0.25], **{"from": ["one", "two", "input"]}, combine="add"),
    ]
    kernel = {"weight": [[[[0.5, 0.0], [0.0, 0.5]]]], "bias": [-1.0]}
    conv = {"kind": "conv2d", "out_channels": 1, "kernel_size": [2, 2], "activation": "relu", "parameters": kernel}
    pool = {"kind": "max_pool2d", "kernel_size": [2, 2], "stride": [1, 1]}
    rnn = {
        "kind": "rnn", "hidden_size": 2, "nonlinearity": "relu",
        "parameters": {
            "weight_ih_l0": [[1.0], [-1.0]], "weight_hh_l0": [[0.5, 0.25], [-0.5, 1.0]], "bias_ih_l0": [0.0, 0.5],
            "bias_hh_l0": [0.0, 0.5],
        },
    }  # fmt: skip
    four, bent = (dense(activation, [[1.0, -0.5, 0.25, 0.5]], [0.5]) for activation in ("identity", "relu"))
    six = dense("identity", [[1.0, -0.5, 0.25, 0.75, -1.0, 0.5]], [0.5])
    penalty = {"regularization": {"l1": 0.25, "l2": 0.5, "biases": True}, "optimizer": SGD, "steps": 2}
    return [
        relus,
        made("relus-sgd", TWO_LAYERS, [[0.5, 1.0], [1.0, 0.0]], [[1.0], [0.5]], optimizer=SGD, steps=3),
        made("relus-adam", TWO_LAYERS, [[0.5, 1.0], [1.0, 0.0]], [[1.0], [0.5]], optimizer=adam(), steps=3),
        made("others", OTHERS, [[1.0], [0.5]], [[0.25, 1.0], [0.0, 0.5]], loss={"kind": "mean_absolute_error"}),
        made("others-adam", OTHERS, [[1.0]], [[0.25, 1.0]], optimizer=adam(amsgrad=True), steps=2),
        made("graph", graph, [[1.0, 1.0], [0.0, 0.0]], [[0.5], [1.0]]),
        made("graph-adam", graph, [[1.0, 1.0], [0.0, 0.0]], [[0.5], [1.0]], optimizer=adam(), steps=2),
        made("prelu", [{"kind": "prelu", "parameters": {"weight": [0.25]}}], [[0.0, 1.0, -2.0]], [[1.0, 0.5, 0.0]]),
        made("l1", [dense("tanh", [[0.0, 0.5], [-0.25, 0.0]], [0.0, 1.0])], [[1.0, 0.5]], [[0.5, 0.0]], **penalty),
        made("pools", [pool, pool, four], [IMAGE], [[1.0]]),
        made("conv", [conv, pool, four], [IMAGE, IMAGE], [[1.0], [0.0]]),
        made("conv-sgd", [conv, pool, bent], [IMAGE], [[1.0]], optimizer=SGD, steps=2),
        made("rnn", [rnn, six], [[[0.0], [1.0], [0.5]]], [[1.0]]),
    ]  # fmt: skip


@cache
def files() -> list[Case]:
    """The files that are on kinks or ties."""
    every = [each.case for suite in ("edge", "convolution", "graph") for each in suite_files(suite)]
    return [case for case in every if case.name.startswith(("kink", "tie", "zero", "dead", "saturated"))]


def judged(style: str, folder: Path, *more: Edit, dtype: str = "float64", full: bool = True, **options: Any) -> Results:
    """The cases above and the files, judged with the port in that style."""
    implementation = conventional(style, folder / style, *more, dtype=dtype, full=full)
    return check(implementation, cases=options.pop("cases", [*kinked(), *files()]), **options)


def conventions(results: Results) -> dict[str, tuple[Any, Any]]:
    """The choice that was taken, and PyTorch's, by place."""
    return {each["where"]: (each["taken"], each["pytorch"]) for each in results.to_dict()["conventions"]}


RIGHT = ("jax", "autograd", "above", "third", "any")


@pytest.mark.thorough
@pytest.mark.parametrize("reported", ["everything", "gradients"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("style", RIGHT)
def test_what_is_taken_at_a_kink_is_a_convention(style: str, dtype: str, reported: str, tmp_path: Path) -> None:
    """Chains, graphs, convolution, recurrence, several steps: all right, and reported as conventions."""
    results = judged(style, tmp_path, dtype=dtype, full=reported == "everything")
    assert [(case.id, case.message) for case in results.failed] == []
    results.raise_for_mismatch()
    assert results.to_dict()["conventions"]


def test_the_conventions_of_a_library_are_told(tmp_path: Path) -> None:
    """Each kind of kink once, with the number of cases in which it shows."""
    results = judged("jax", tmp_path, cases=files())
    assert conventions(results) == {
        "hard_tanh at ±1": (1.0, 0.0),
        "hinge at 1": (0.5, 0.0),
        "leaky_relu at 0": (1.0, 0.25),
        "maximum at a tie": ("even", "first"),
        "mean_absolute_error at 0": (1.0, 0.0),
    }
    ties = next(each for each in results.to_dict()["conventions"] if each["taken"] == "even")
    assert ties["cases"] == sum("maximum at a tie" in str(case.conventions) for case in results.cases) > 2
    assert conventions(judged("third", tmp_path, cases=files()))["relu at 0"] == (0.3, 0.0)
    assert conventions(judged("above", tmp_path, cases=files()))["maximum at a tie"] == ("last", "first")


def test_pytorch_s_own_choice_is_no_convention(tmp_path: Path) -> None:
    """The unchanged port: no convention is reported."""
    for kinks in ("any", "pytorch"):
        results = judged("pytorch", tmp_path, kinks=kinks)
        results.raise_for_mismatch()
        assert results.to_dict()["conventions"] == []


@pytest.mark.thorough
def test_pytorch_s_choice_can_be_insisted_on(tmp_path: Path) -> None:
    """Then any other choice fails its cases."""
    results = judged("jax", tmp_path, cases=files(), kinks="pytorch")
    failed = {case.id.rpartition("-")[0] for case in results.failed}
    assert failed >= {"kink-leaky-relu", "kink-hard-tanh", "kink-mean-absolute-error", "tie-of-four"}
    assert results.to_dict()["conventions"] == []


@pytest.mark.parametrize("style", ["wrong beyond", pytest.param("wrong below", marks=pytest.mark.thorough)])
def test_a_slope_beyond_both_sides_is_wrong(style: str, tmp_path: Path) -> None:
    """And values at kinks alone are evidence for no bug."""
    results = judged(style, tmp_path)
    wrong = {case.id.rpartition("-")[0] for case in results.failed}
    # Huber's derivative is continuous; and the kink on two paths is a kink only within rounding, where bounds are wide.
    names = {case.name for case in files() if case.name.startswith("kink")} - {"kink-huber", "kink-on-two-ways"}
    assert wrong >= names
    assert wrong >= {"relus", "relus-sgd", "relus-adam", "others", "others-adam", "graph", "prelu", "l1", "rnn"}
    assert [cause.code for cause in results.causes] == [None]


def test_shares_of_a_tie_add_up(tmp_path: Path) -> None:
    """Each tied input alone may get the whole gradient; giving it to all of them is BP711."""
    ties = [case for case in (*files(), *kinked()) if case.name.startswith("tie") or case.name == "pools"]
    shown = {"tie-of-four", "tie-global", "tie-overlapping", "tie-in-a-sequence", "pools"}
    every = judged("wrong ties", tmp_path, cases=ties)
    assert {case.id.rpartition("-")[0] for case in every.failed} >= shown
    assert [cause.code for cause in every.causes] == ["BP711"]
    less = judged("wrong total", tmp_path, cases=ties)
    assert {case.id.rpartition("-")[0] for case in less.failed} >= shown
    assert [cause.code for cause in less.causes] == [None]


def test_what_follows_is_judged_by_the_choice_that_was_reported(tmp_path: Path) -> None:
    """Right: δ = 0 with gradients of 0, and δ = 1 with those of 1. Wrong: a δ of 1 with the gradients of a δ of 0."""
    case = made("one", [dense("relu", [[1.0]], [0.0]), dense("identity", [[1.0]], [0.0])], [[0.0]], [[-1.0]])
    ask = conventional("pytorch", tmp_path / "port")
    for delta, gradient, fails in ((0.0, 0.0, []), (1.0, 1.0, []), (1.0, 0.0, ["mismatched"])):

        def answer(request: dict[str, Any], delta: float = delta, gradient: float = gradient) -> dict[str, Any]:
            reply = ask(request)
            if len(request["network"]["layers"]) == 2 and request["network"]["layers"][0]["units"] == 1:
                reply["layers"][0] |= {"delta": [[delta]], "gradients": {"weights": [[0.0]], "biases": [gradient]}}
                reply["input_gradients"] = [[delta]]
            return reply

        results = check(answer, cases=[case])
        assert [each.outcome for each in results.failed] == fails, (delta, gradient)


@pytest.mark.thorough
def test_a_bug_keeps_its_name_beside_a_convention(tmp_path: Path) -> None:
    """Hidden deltas without the derivative, in a library with other slopes at kinks."""
    bug = Edit("", "network.py", "layer.backward(layer.hidden_deltas(gradients))", "layer.backward(gradients)")
    for full in (True, False):
        implementation = conventional("jax", tmp_path / f"bug-{full}", bug, full=full)
        results = check(implementation, suites=["edge", "generated"], cases=60)
        assert [cause.code for cause in results.causes] == ["BP102"], full


def written(folder: Path, style: str = "jax") -> str:
    """The command of a port in that style."""
    conventional(style, folder)
    return f'"{sys.executable}" "{folder / "port.py"}"'


EDGE = ("--suite", "edge", "--cases", "0", "--no-cache")


@pytest.mark.thorough
def test_a_run_tells_conventions_once_and_succeeds(tmp_path: Path) -> None:
    """One note each in the terminal, the conventions in the results file, in the same order with two processes."""
    port = written(tmp_path / "port")
    done = called(tmp_path, "run", port, *EDGE, "--json", "r.json")
    assert done.exit_code == 0, done.output
    assert done.output.count("the slope of leaky_relu is 1 here; PyTorch takes 0.25 (1 case)") == 1
    assert "The cause" not in done.output
    told = json.loads((tmp_path / "r.json").read_text())
    assert [each["where"] for each in told["conventions"]] == [
        "hard_tanh at ±1", "hinge at 1", "leaky_relu at 0", "mean_absolute_error at 0",
    ]  # fmt: skip
    assert told["harness"]["kinks"] == "any"
    assert {key: told["conventions"][2][key] for key in ("taken", "pytorch", "cases")} == {
        "taken": 1.0, "pytorch": 0.25, "cases": 1,
    }  # fmt: skip
    again = called(tmp_path, "run", port, *EDGE, "--json", "two.json", "--jobs", "2")
    assert again.exit_code == 0
    assert json.loads((tmp_path / "two.json").read_text())["conventions"] == told["conventions"]


def test_a_run_that_goes_on_tells_all_conventions(tmp_path: Path) -> None:
    """Including those of the cases judged before the interruption; another --kinks is another run."""
    port = written(tmp_path / "port")
    called(tmp_path, "run", port, *EDGE, "--json", "r.json")
    whole = json.loads((tmp_path / "r.json").read_text())
    lines = (tmp_path / "r.json").read_bytes().split(b"\n")
    (tmp_path / "r.json").write_bytes(b"\n".join(lines[:30]))
    assert called(tmp_path, "run", port, *EDGE, "--json", "r.json", "--resume", "--kinks", "pytorch").exit_code == 2
    assert called(tmp_path, "run", port, *EDGE, "--json", "r.json", "--resume").exit_code == 0
    assert json.loads((tmp_path / "r.json").read_text())["conventions"] == whole["conventions"]


@pytest.mark.thorough
def test_an_option_and_the_configuration_insist_on_pytorch_s_choice(tmp_path: Path) -> None:
    """The option takes precedence over the configuration."""
    port = written(tmp_path / "port")
    assert called(tmp_path, "run", port, *EDGE, "--kinks", "pytorch").exit_code == 1
    (tmp_path / "backprop-check.toml").write_text(
        f'[implementations.mine]\ncommand = {json.dumps(port)}\nkinks = "pytorch"\n'
    )
    assert called(tmp_path, "run", "mine", *EDGE).exit_code == 1
    assert called(tmp_path, "run", "--all", *EDGE).exit_code == 1
    assert called(tmp_path, "run", "mine", *EDGE, "--kinks", "any").exit_code == 0


def embedded(page: str) -> list[Any]:
    """The data of a page: its index, then its cases."""
    found = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', page, re.DOTALL)
    return [json.loads(text) for name, text in sorted(found, key=lambda each: each[0] != "index")]


def test_the_page_has_the_conventions(tmp_path: Path) -> None:
    """In its index, from which the page and its JSON are made; numbers stay numbers."""
    results = judged("jax", tmp_path, cases=files())
    page = results.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert embedded(page)[0]["impls"][0]["conventions"] == results.to_dict()["conventions"]
    assert "at z = 0 the slope of leaky_relu is 1 here" in page


def test_a_failing_case_s_page_shows_what_a_choice_allows(tmp_path: Path) -> None:
    """Next to a wrong value, values at kinks are shown as right, with a bound that includes them."""
    bug = Edit("", "network.py", "layer.backward(layer.hidden_deltas(gradients))", "layer.backward(gradients)")
    results = judged("above", tmp_path, bug, cases=kinked()[:1])
    (failed,) = results.to_dict()["cases"]
    wrong = {
        (one["sample"], one["neuron"])
        for one in failed["mismatches"]
        if (one["quantity"], one["layer"]) == ("delta", 1)
    }
    places = [(s, j) for s in range(3) for j in range(2)]
    kinks = {(s, j) for s, j in places if failed["actual"]["layers"][1]["z"][s][j] == 0.0}
    assert wrong
    assert kinks
    assert not wrong & kinks
    page = results.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    slot = embedded(page)[1]["slots"]["delta.1"]
    assert {places[number] for number in slot["x"]} == wrong
    assert {place for place, bound in zip(places, slot["m"], strict=True) if bound > 1e-3} == kinks


def test_values_at_kinks_are_marked_as_right(tmp_path: Path) -> None:
    """In the data frame of all values: within the bound that is shown."""
    pytest.importorskip("pandas")
    table = judged("above", tmp_path, cases=kinked()[:4], keep_values=True).to_dataframe("values")
    assert table["ok"].all()
    assert (table["error"] > 1e-3).any()


def test_explain_says_that_another_choice_is_right(tmp_path: Path) -> None:
    """Next to every step is the replied value; at a kink it is right."""
    done = called(tmp_path, "explain", "kink-leaky-relu", "--impl", written(tmp_path / "port"))
    assert done.exit_code == 0, done.output
    assert "gives every number right" in done.output
