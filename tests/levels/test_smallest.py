"""The smallest network of any layers that shows a cause, and the further case that distinguishes causes."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backprop_check.case.network import Case
from backprop_check.cases.clear import CLEAR
from backprop_check.cases.families import family_case, family_cases
from backprop_check.cases.files import suite_files
from backprop_check.cases.within import supported
from backprop_check.compare.expected import textbook_pass
from backprop_check.diagnose import apart, reductions
from backprop_check.diagnose.draft import Draft
from backprop_check.diagnose.effort import QUESTIONS, Effort
from backprop_check.diagnose.fitting import resized
from backprop_check.diagnose.reductions import is_clear
from backprop_check.diagnose.shrink import shrink
from backprop_check.kinds import FAMILIES, KINDS
from backprop_check.protocol import CallableImplementation
from backprop_check.running.judging import Run
from backprop_check.running.kept_failures import keep, kept_failures
from backprop_check.running.one_case import judge

sys.path.insert(0, str(Path(__file__).parent))

import numpy_attention
import numpy_convolution
import numpy_graph
import numpy_normalisation
import numpy_recurrent


def graph(mistake: str) -> Any:
    """The graphs' implementation, as a callable for ``check``."""

    def answer(case: dict[str, Any]) -> dict[str, Any]:
        return numpy_graph.backprop(case, mistake)

    answer.supports = {"layers": ["dense"], "features": ["graph"], "optimizers": ["sgd"]}  # type: ignore[attr-defined]
    return answer


#: For each family, the function that makes its implementation with a mistake in it.
MADE: dict[str, Any] = {
    "convolution": numpy_convolution.plain,
    "normalisation": numpy_normalisation.Implementation,
    "recurrent": numpy_recurrent.backprop,
    "attention": numpy_attention.implementation,
    "graph": graph,
}


def judged(function: Any, cases: list[Case]) -> Run:
    """The run, all cases judged."""
    run = Run(CallableImplementation(function))
    for _ in run.judge(cases):
        pass
    return run


def generated(family: str, function: Any, count: int, kind: str = "") -> list[Case]:
    """Cases that the implementation supports; those with one kind of layer, where it is given."""
    within = supported(CallableImplementation(function).hello.supports)
    cases = list(family_cases(family, count, 3, within=within))
    return [case for case in cases if not kind or kind in {layer.kind for layer in case.network.layers}]


def smallest(family: str, mistake: str, kind: str = "") -> tuple[Any, Any, Case]:
    """The implementation, its first cause and the smallest network that shows it."""
    function = MADE[family](mistake)
    run = judged(function, generated(family, function, 60, kind)[:12])
    (cause, *_) = run.conclude().causes
    case = run.smallest(cause)
    assert case is not None
    return function, cause, case


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("family", "mistake", "kind", "code", "units", "numbers"),
    [
        ("convolution", "not flipped", "conv2d", "BP701", 2, 12),
        ("convolution", "stride ignored", "conv2d", "BP704", 4, 16),
        ("convolution", "gradient to all", "max_pool2d", "BP709", 1, 10),
        ("convolution", "bias dropped from the delta", "conv1d", None, 2, 10),
        ("recurrent", "cell-dropped", "lstm", "BP804", 2, 20),
        ("recurrent", "order-ifog", "lstm", "BP806", 1, 12),
        ("recurrent", "reset-flipped", "gru", "BP808", 1, 16),
        ("normalisation", "BP901", "layer_norm", "BP901", 3, 12),
        ("normalisation", "BP905", "batch_norm", "BP905", 2, 8),
        ("normalisation", "BP909", "embedding", "BP909", 2, 8),
        ("attention", "scale-missing", "multihead_attention", "BP910", 4, 30),
        ("attention", "softmax-gradient-missing", "scaled_dot_product_attention", "BP911", 2, 8),
        ("attention", "residual-missing", "transformer_block", "BP913", 3, 34),
        ("attention", "value-gradient", "scaled_dot_product_attention", None, 6, 16),
        ("graph", "shared overwritten", "", "BP125", 2, 12),
        ("graph", "own factor", "", "BP127", 3, 14),
    ],
)
def test_it_fits_on_a_line(family: str, mistake: str, kind: str, code: str | None, units: int, numbers: int) -> None:
    """One sample, few units, few numbers; judged alone it fails, for the same cause."""
    function, cause, case = smallest(family, mistake, kind)
    assert cause.code == code
    assert len(case.inputs) == 1
    assert sum(case.network.widths) <= units, case.to_dict()
    assert reductions.weight(case)[0] <= numbers, case.to_dict()
    run = judged(function, [case])
    assert run.summary.counts["mismatched"] == 1
    again = run.conclude().causes
    assert code in {each for one in again for each in (one.code, *one.equivalent)}


def test_a_batch_is_kept_where_the_bug_needs_one() -> None:
    """A sum in place of a mean shows with two samples, but not with one."""
    _, cause, case = smallest("graph", "sum for mean")
    assert cause.code == "BP401"
    assert len(case.inputs) == 2
    assert sum(case.network.widths) <= 2


@pytest.mark.thorough
def test_a_kept_one_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written and read, it is the same case, and fails; for the right implementation it passes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    function, cause, case = smallest("recurrent", "cell-dropped", "lstm")
    keep(case, code=cause.code, sentence=cause.sentence, found_in=cause.first_case, command="x", root=tmp_path)
    (kept,) = kept_failures(tmp_path)
    for again, outcome in ((function, "mismatched"), (MADE["recurrent"](""), "passed")):
        assert [each.outcome for each in judge([kept.file.case], CallableImplementation(again))] == [outcome]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.family])
def test_no_kind_of_layer_is_left_large(name: str) -> None:
    """Whatever its fields, masks and parameters: where only that layer is needed, only it is kept, and small.

    ``holds`` gets valid cases only, each once; the result is one of them, and clear of kinks.
    """
    within = dataclasses.replace(apart._ANYTHING, layers=(name, "dense"))  # noqa: SLF001
    case = family_case(KINDS[name].family, 0, 5, within)
    asked: list[str] = []

    def holds(candidate: Case) -> bool:
        asked.append(candidate.id)
        assert Case.from_dict(candidate.to_dict()).id == candidate.id
        return name in {layer.kind for layer in candidate.network.layers}

    found = shrink(case, holds)
    assert len(asked) == len(set(asked))
    assert found.id in asked
    assert is_clear(found, CLEAR)
    assert [layer.kind for layer in found.network.layers] == [name]
    assert len(found.inputs) <= 2
    assert reductions.weight(found)[0] <= 30, found.to_dict()


def test_nothing_smaller_shows_it() -> None:
    """The case itself, where no reduction shows the bug; and where no try is left."""
    case = family_case("recurrent", 3)
    assert shrink(case, lambda _: False) is case
    assert shrink(case, lambda _: True, Effort(questions=0)) is case


def test_the_same_result_every_time() -> None:
    """The search uses no randomness."""
    case = family_case("attention", 7)
    assert len({shrink(case, lambda each: len(each.network.layers) > 1).id for _ in range(2)}) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_case_in_pieces_is_the_same_case(family: str) -> None:
    """Converted to a draft and back, every number of the pass is the same."""
    cases = [*family_cases(family, 12, 1), *(file.case for file in suite_files(family))]
    for case in cases:
        again = Draft.of(case).case()
        assert again is not None
        assert again.network.sources == case.network.sources
        if again.id.rsplit("-", 1)[1] != case.id.rsplit("-", 1)[1]:  # the default source had been named
            one, other = textbook_pass(case).values, textbook_pass(again).values
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[slot], other[slot]) for slot in one)


def test_arrays_are_cut_and_repeated() -> None:
    """At either end, along every axis; and in row-major order for another number of axes."""
    array = np.arange(6.0).reshape(2, 3)
    assert resized(array, (1, 2)).tolist() == [[0, 1]]
    assert resized(array, (1, 2), at_end=True).tolist() == [[4, 5]]
    assert resized(array, (3, 3)).tolist() == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]
    assert resized(array, (4,)).tolist() == [0, 1, 2, 3]


def test_a_fault_of_ours_costs_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where shrinking raises an exception, the original failing case is shown."""
    function = MADE["convolution"]("not flipped")
    run = judged(function, generated("convolution", function, 12, "conv1d"))
    (cause, *_) = run.conclude().causes

    def broken(*_: Any) -> Any:
        raise ValueError

    monkeypatch.setattr(reductions, "reduce", broken)
    case = run.smallest(cause)
    assert case is not None
    assert case.id in cause.explains


# Names that fit equally well ----------------------------------------------------------------------


_LSTM = {
    "weight_ih_l0": [[0.3], [0.6], [-0.4], [0.2]],
    "weight_hh_l0": [[0.3], [0.6], [-0.4], [0.2]],
    "bias_ih_l0": [0.3, 0.6, -0.4, 0.2],
}

#: Networks so small that two names fit: the mistake, the right name, the other one, the layers.
ALIKE: dict[str, tuple[str, str, str, list[dict[str, Any]]]] = {
    "convolution": (
        "not flipped",
        "BP701",
        "BP705",
        [
            {
                "kind": "conv1d",
                "out_channels": 1,
                "kernel_size": [2],
                "stride": [2],
                "padding": [1],
                "parameters": {"weight": [[[0.8, -0.5]]]},
            }
        ],
    ),
    "recurrent": (
        "bias-forget",
        "BP807",
        "BP114",
        [{"kind": "lstm", "hidden_size": 1, "parameters": _LSTM}],
    ),
}


def alike(family: str) -> tuple[Run, str, str]:
    """The run over a case that two names explain equally well, the right name and the other one."""
    mistake, right, other, layers = ALIKE[family]
    case = Case.from_dict(
        {
            "name": "alike",
            "network": {"inputs": [1, 1], "layers": layers},
            "loss": {"kind": "half_squared_error"},
            "reduction": "mean",
            "inputs": [[[0.5]]],
            "targets": [[[0.7]]],
        }
    )
    return judged(MADE[family](mistake), [case]), right, other


@pytest.mark.parametrize("family", ALIKE)
def test_a_further_case_tells_names_apart(family: str) -> None:
    """Without further cases both names are listed; with one, of the same kind of layer, only the right one."""
    run, right, other = alike(family)
    (alone,) = run.diagnostician.causes()
    assert {alone.code, *alone.equivalent} == {right, other}
    sent: list[Case] = []

    def ask(further: Case) -> Any:
        actual = run._ask(further)  # noqa: SLF001
        if actual is not None:
            sent.append(further)
        return actual

    (told,) = run.diagnostician.causes(None, ask)
    assert (told.code, told.equivalent) == (right, [])
    assert 1 <= len(sent) <= 4
    assert all(further.network.families for further in sent)
    assert [cause.code for cause in run.conclude().causes] == [right]


def test_equivalents_stay_where_no_answer_comes() -> None:
    """Names that cannot be distinguished are all listed, not guessed between; and the search for more cases ends."""
    run, right, other = alike("convolution")
    effort = Effort()
    (cause,) = run.diagnostician.causes(effort, lambda _: None)
    assert {cause.code, *cause.equivalent} == {right, other}
    assert 0 <= (effort.questions or 0) < QUESTIONS


@pytest.mark.parametrize("family", ["convolution", "recurrent", "normalisation", "attention", "graph"])
def test_further_cases_keep_to_what_is_supported(family: str) -> None:
    """Of the kinds of layers that failed, within the claims, clear of kinks; no case twice."""
    function = MADE[family]("")
    within = supported(CallableImplementation(function).hello.supports)
    failing = generated(family, function, 3)
    kinds = {layer.kind for case in failing for layer in case.network.layers} | {"dense"}
    further = apart.cases_to_tell_apart(failing, within)
    chosen = [next(further) for _ in range(12)]
    for case in chosen:
        assert {layer.kind for layer in case.network.layers} <= kinds
        assert set(case.features) <= set(within.features)
        assert case.loss.kind in within.losses
        assert case.network.families
        assert is_clear(case, CLEAR)
    assert len({case.id for case in chosen}) == len(chosen)
    assert max(len(case.inputs) for case in chosen) > 1


def test_one_sample_at_a_time_is_kept_to() -> None:
    """No case with several samples is made for an implementation that takes only one."""
    one = [case for case in family_cases("convolution", 12) if len(case.inputs) == 1][:3]
    within = dataclasses.replace(apart._ANYTHING, batch=False)  # noqa: SLF001
    further = apart.cases_to_tell_apart(one, within)
    assert {len(next(further).inputs) for _ in range(12)} == {1}
