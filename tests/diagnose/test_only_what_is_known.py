"""A name gives the numbers of every case that it claims, and no text claims more than the cases show."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from asking import answered, cases, judged
from tiny import SUPPORTS, implementation

from backprop_check.cases.files import suite_files
from backprop_check.compare.trace import Slot
from backprop_check.diagnose import signs
from backprop_check.diagnose.bugs import formulas_of_layers
from backprop_check.diagnose.catalogue import BUGS, find_bug, variant_of
from backprop_check.diagnose.evidence import Evidence
from backprop_check.explain.bug import cases_for, differing, first_difference
from backprop_check.explain.layout import equation_lines

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.diagnose.cause import Cause

#: The kinds of value in the order of computing, each with the number of cases to show what a bug gets wrong.
KINDS, FEW = ["forward", "loss", "backward", "state", "update"], 4

#: The ε of two libraries that clip.
EPSILON = {"1e-15": 1e-15, "2.2e-16": 2.0**-52, "1e-07": 1e-7, "1e-12": 1e-12}


def saturated() -> list[Case]:
    """The edge cases of cross-entropies that ``tiny`` supports."""
    return [
        file.case
        for file in suite_files("edge")
        if not file.case.network.families
        and {layer.activation for layer in file.case.network.layers} <= set(SUPPORTS["activations"])
        and file.case.loss.kind in ("binary_cross_entropy", "cross_entropy")
        and file.case.optimizer is None
        and len(file.case.inputs) <= 4
    ]


def causes_of(*mistakes: str, **parameters: Any) -> list[Cause]:
    return judged(implementation(*mistakes, **parameters), saturated()).causes


@pytest.mark.parametrize("epsilon", EPSILON)
def test_clipping_in_the_loss_is_not_epsilon_in_the_logarithm(epsilon: str) -> None:
    """17.2694 is not 18.0218: the name is that of clipping, with its own text, formula and ε."""
    (cause,) = causes_of(clip=EPSILON[epsilon])
    assert cause.code == "BP307"
    assert cause.detail.startswith(f"p is clipped to [ε, 1 − ε] in the loss only, with ε = {epsilon}")
    assert "clipped" in cause.sentence
    assert "p + ε" not in cause.implemented
    assert "min(max(p, ε), 1 − ε)" in cause.implemented
    assert "∂ℓ/∂p" not in cause.implemented


def test_an_epsilon_beside_one_is_written() -> None:
    """The formula "as implemented" is not ln(1 − 1): 1 − ε is not written as 1, however few digits are shown."""
    found = variant_of("BP307", "p is clipped to [ε, 1 − ε] in the loss only, with ε = 1e-12")
    assert found is not None
    case = next(case for case in saturated() if case.name == "sigmoid-half")
    pair = first_difference(case, found.stages)
    assert pair is not None
    lines = "\n".join(equation_lines(pair[1], 6))
    assert "ln(1 − (1 − 9.99978e−13))" in lines
    assert "ln(1 − 1)" not in lines


@pytest.mark.parametrize(
    ("mistake", "said", "formula"),
    [
        ("derivative-of-clipped", "in the loss and in its derivative", "∂ℓ/∂p = −t/c"),
        ("no-gradient-where-clipped", "so that no gradient comes back where it is clipped", "0 where p is clipped"),
    ],
)
def test_clipping_in_the_gradient_too(mistake: str, said: str, formula: str) -> None:
    """Each way to clip has its own text."""
    (cause,) = causes_of(mistake, clip=1e-7)
    assert cause.code == "BP307"
    assert said in cause.detail
    assert formula in cause.implemented


def test_a_clip_that_nobody_uses_has_no_name() -> None:
    """ε in the logarithm comes close, but only within bounds too wide to decide: no name rather than a wrong one."""
    assert {cause.code for cause in causes_of(clip=3.7e-16)} == {None}


@pytest.mark.thorough
def test_epsilon_in_the_logarithm_keeps_its_name() -> None:
    """It gives exactly these numbers from the reported values."""
    causes = causes_of(epsilon=1e-15)
    assert causes[0].code == "BP307"
    assert "clipped" not in causes[0].detail + causes[0].sentence
    assert "ln(p + ε)" in causes[0].implemented


def test_a_name_gives_every_number_that_it_claims() -> None:
    """In each case under a name, the wrong loss is what the name's own formula gives, to seven digits."""
    results = judged(implementation(clip=1e-15), saturated())
    (cause,) = results.causes
    checked = 0
    for result in results.failed:
        assert result.id in cause.explains
        case = next(case for case in saturated() if case.id == result.id)
        p = answered(case)[Slot("a", len(case.network.layers) - 1)]
        c, t = np.clip(p, 1e-15, 1 - 1e-15), np.array(case.targets)
        terms = -t * np.log(c) - ((1 - t) * np.log(1 - c) if case.loss.kind == "binary_cross_entropy" else 0.0)
        first = next(one for one in result.mismatches if one.quantity == "loss")
        total = terms.sum() * (1 / len(t) if case.reduction == "mean" else 1)
        assert first.actual == pytest.approx(total, rel=1e-7)
        checked += 1
    assert checked > 3


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1 + 3.2e-9, "each is too large by a relative 3.2e-09"),
        (1 - 3.2e-9, "each is too small by a relative 3.2e-09"),
        (1.5, "each is 1.5 times what it should be"),
    ],
)
def test_how_far_off_a_ratio_near_one_is(factor: float, said: str) -> None:
    """Never "each is 1 times what it should be", and no wrong sign where none is wrong."""
    found = []
    for case in cases()[:6]:
        values = answered(case)
        slot = Slot("bias_gradient", 0)
        found.append(Evidence(case, {Slot("delta", 0): values[Slot("delta", 0)], slot: factor * values[slot]}))
    text = signs.pattern([each for each in found if each.has_roots])
    assert said in text
    assert "signs" not in text


def test_ratios_near_one_that_differ() -> None:
    """The largest is reported; the signs are right, and the text does not say that they are wrong."""
    case = next(case for case in cases() if case.network.layers[0].units > 1)
    values, slot = answered(case), Slot("bias_gradient", 0)
    near = 1 + 1e-10 * np.arange(1, values[slot].size + 1)
    evidence = Evidence(case, {Slot("delta", 0): values[Slot("delta", 0)], slot: near * values[slot]})
    assert signs.pattern([evidence]).endswith(f"a relative error of at most {values[slot].size}e-10")


@pytest.mark.thorough
def test_a_condition_needs_several_cases() -> None:
    """One failing case has an activation, a loss and much else: none of these is reported as the condition."""
    bent = [case for case in cases() if "tanh" in {layer.activation for layer in case.network.layers[:-1]}]
    others = [case for case in cases() if case not in bent][:25]
    function = implementation("tanh-derivative-missing")
    failing = [case for case in bent if judged(function, [case]).failed]
    (cause,) = judged(function, [failing[0], *others]).causes
    assert cause.code == "BP102"
    assert "tanh" not in cause.scope
    assert cause.scope.startswith("not everywhere")
    (cause,) = judged(function, [*failing[:4], *others]).causes
    assert (cause.code, cause.scope) == ("BP102", "in tanh layers only")


@pytest.mark.parametrize("code", [bug.code for bug in BUGS if len({each.label for each in bug.variants}) > 1])
def test_the_formula_shown_is_of_the_kind_that_is_wrong(code: str) -> None:
    """All variants that show the page's formula get the same kind of value wrong first.

    A variant whose loss is wrong cannot show a gradient's formula: it has its own.
    """
    kinds: dict[str, str] = {}
    for each in find_bug(code).variants:
        if not each.wrong and len(kinds) < 4:
            kind = first_kind(each.stages)
            if kind:
                kinds.setdefault(each.label, kind)
    assert len(set(kinds.values())) <= 1, kinds


def first_kind(stages: Any) -> str:
    """The kind of value, one of ``KINDS``, that is wrong first in small cases that show the bug."""
    found: list[str] = []
    for case in cases_for(stages):
        if stages.matters(case):
            found += [kind_of(slot) for slot, *_ in itertools.islice(differing(case, stages), 1)]
        if len(found) == FEW:
            break
    return min(found, key=KINDS.index, default="")


def kind_of(slot: Slot) -> str:
    if slot.quantity in ("z", "a"):
        return "forward"
    if slot.quantity.endswith("_buffer"):
        return "state"
    if slot.quantity == "loss":
        return "loss"
    return "update" if slot.quantity.startswith("updated") else "backward"


def test_every_formula_is_some_variants() -> None:
    """No formula is left over from a label that was reworded."""
    shown = {(bug.code, each.wrong) for bug in BUGS for each in bug.variants}
    beside_pages = [(bug.code, label, formula) for bug in BUGS for label, formula in bug.by_label.items()]
    of_layers = [(code, *one) for code, own in formulas_of_layers.FORMULAS.items() for one in own.items()]
    assert len(beside_pages) > 100
    for code, label, formula in (*beside_pages, *of_layers):
        assert (code, formula if isinstance(formula, str) else formula[1]) in shown, (code, label)


def test_a_label_has_one_formula() -> None:
    """A variant's label determines its formula."""
    for bug in BUGS:
        formulas: dict[str, set[tuple[str, str]]] = {}
        for each in bug.variants:
            formulas.setdefault(each.label, set()).add((each.right, each.wrong))
        assert {label: len(each) for label, each in formulas.items() if len(each) > 1} == {}, bug.code


@pytest.mark.parametrize(
    ("code", "label", "right", "wrong"),
    [
        ("BP904", "n for the running variance", "(1/(n − 1))", "(1/n)"),
        ("BP904", "n − 1 forward and backward", "(1/n)", "(1/(n − 1))"),
        ("BP305", "in the loss", "(1 − t) ln(1 − a)", "ℓ = −t ln a"),
        ("BP012", "½ in the loss", "½", "½ = 0"),
        ("BP118", "the gradients only", "Σₛ δⱼ aᵢ", "−Σₛ δⱼ aᵢ"),
        ("BP513", "of the square's average", "v̂ = v/(1 − β₂ᵗ)", "v̂ = v"),
    ],
)
def test_a_variants_formulas_are_its_own(code: str, label: str, right: str, wrong: str) -> None:
    """The formula "as implemented" is that variant's, not that of another way to make the mistake."""
    texts = find_bug(code).formulas(variant_of(code, label))
    assert right in texts[0]
    assert wrong in texts[1]
    assert texts[0] != texts[1]


def test_formulas_speak_of_the_activation_at_hand() -> None:
    """A port with tanh alone gets no formula with a sigmoid."""
    chosen = [
        case for case in cases() if {layer.activation for layer in case.network.layers} <= {"tanh", "identity", "relu"}
    ]
    (cause,) = judged(implementation("tanh-slope-of-a"), chosen).causes
    assert cause.code == "BP103"
    assert "tanh" in cause.implemented
    assert "σ" not in cause.right + cause.implemented + cause.fix
    assert "sigmoid" not in cause.right + cause.implemented + cause.fix + cause.sentence


@pytest.mark.thorough
def test_where_a_name_gives_no_definite_number_nothing_is_claimed() -> None:
    """1 − p + ε has lost its digits where p is almost 1: that case is reported separately, neither explained nor
    nameless.
    """
    odd = next(case for case in saturated() if case.name == "sigmoid-half")
    stages = variant_of("BP307", "ε = 1e-15")
    assert stages is not None
    clipped = implementation("derivative-of-clipped", clip=2.0**-52)
    evidence = Evidence(odd, answered(odd, "derivative-of-clipped", clip=2.0**-52))
    assert evidence.undecided_by(stages.stages)
    assert not evidence.reproduced_by(stages.stages)
    usual = implementation(epsilon=1e-15)

    def port(case: Any) -> Any:
        return (clipped if case["id"] == odd.id else usual)(case)

    port.supports = SUPPORTS  # type: ignore[attr-defined]
    first, second = judged(port, saturated()).causes
    assert first.code == "BP307"
    assert odd.id not in first.explains
    assert (second.code, second.title, second.explains) == (None, "cannot be told", [odd.id])
    assert "BP307" in second.sentence
