"""A port whose formula is in no catalogue is told the formula that it computes, and where."""

from __future__ import annotations

from typing import Any

import pytest
from matrix_port import port

from backprop_check import check

#: Bugs of public reports (their sources in comments) and others; what must stand in ``implemented``, and where.
WRITTEN = {
    # Stack Overflow 59399842: the output's own gradients use ∂L/∂a; what is sent back is right.
    "own gradients without the slope": (
        {"weight gradient": "(E if last else D).T @ X", "bias gradient": "(E if last else D).sum(axis=0)"},
        "∂L/∂w = ∂L/∂a · aₗ₋₁; ∂L/∂b = ∂L/∂a",
        "in the output layer only",
    ),
    # The best-selling book's network, and the best-known JavaScript one: Wᵀ(a − t) is sent back.
    "the error itself is sent back": ({"sent back": "E1 @ W1"}, "δ = (Σ w ∂L/∂a) · φ′(z)", "in hidden layers only"),
    # ttezel/nn#8: a(1 − a) whatever the activation.
    "the sigmoid's slope for all": (
        {"output delta": "E * A * (1 - A)", "hidden delta": "E * A * (1 - A)"},
        "δ = ∂L/∂a · a(1 − a); δ = (Σ w δ) · a(1 − a)",
        "in all but sigmoid layers",
    ),
    "the slope twice": ({"hidden delta": "E * slope(Z) ** 2"}, "δ = (Σ w δ) · φ′(z)²", "in hidden layers only"),
    "divided by the slope": ({"output delta": "E / slope(Z)"}, "δ = ∂L/∂a · 1/φ′(z)", "in the output layer only"),
    "the weights missing": (
        {"sent back": "D1.sum(axis=1, keepdims=True) + 0 * A"},
        "δ = (Σ δ) · φ′(z)",
        "in hidden layers only",
    ),
    "only the first neuron sends": (
        {"sent back": "D1[:, :1] @ W1[:1]"},
        "δ = w δ of the first neuron · φ′(z)",
        "in hidden layers only",
    ),
    "a squared": ({"weight gradient": "D.T @ X ** 2"}, "∂L/∂w = δ · aₗ₋₁²", ""),
    "the bias subtracted": ({"z": "X @ W.T - B"}, "z = Σ w aₗ₋₁ − b", ""),
    "twice too large": ({"weight gradient": "2 * D.T @ X"}, "∂L/∂w = 2 · δ · aₗ₋₁", ""),
}


#: Codes for numbers that are not finite, or for how an implementation behaves.
NUMBERS = {"BP004", "BP005", "BP013", "BP014", "BP015"}


def judged(stages: dict[str, str]) -> Any:
    return check(port(stages), suites=["generated"], cases=60)


def test_the_port_itself_is_right() -> None:
    """Nothing fails, and nothing is told."""
    results = judged({})
    assert not results.failed
    assert results.causes == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] if k > 3 else []) for k, name in enumerate(WRITTEN)]
)
def test_the_formula_is_told(name: str) -> None:
    """In symbols, beside the right one, and where; no other cause is claimed."""
    stages, implemented, scope = WRITTEN[name]
    results = judged(stages)
    (cause,) = [each for each in results.causes if each.code not in NUMBERS]
    assert (cause.code, cause.implemented) == (None, implemented)
    assert cause.scope == scope
    assert cause.right
    assert len(cause.explains) >= 0.9 * len(results.failed)
    assert cause.shown is not None


def test_two_mistakes_are_told_one_by_one() -> None:
    """Neither hides the other, and what is in the catalogue has its code."""
    results = judged({"output delta": "E * slope(A)", "weight gradient": "D.T @ X ** 2"})
    found = {(each.code, "" if each.code else each.implemented) for each in results.causes}
    assert found == {("BP103", ""), (None, "∂L/∂w = δ · aₗ₋₁²")}


def test_what_is_no_formula_is_given_none() -> None:
    """Numbers that depend on nothing in scope: no cause claims to give them."""
    results = judged({"hidden delta": "E * slope(Z) * (1 + 0.01 * np.arange(A.shape[1]))"})
    assert results.failed
    assert [(each.code, each.implemented) for each in results.causes] == [(None, "")]


def with_gradients_only(answer: Any) -> Any:
    """The port without z, a, δ and loss in its replies."""

    def fewer(case: dict[str, Any]) -> dict[str, Any]:
        reply = answer(case)
        for step in [reply, *reply.get("trajectory", [])]:
            step.pop("loss", None)
        for layer in reply["layers"]:
            for quantity in ("z", "a", "delta"):
                del layer[quantity]
        return dict(reply)

    fewer.supports = answer.supports  # type: ignore[attr-defined]
    return fewer


@pytest.mark.parametrize(
    "name", ["the error itself is sent back", pytest.param("the slope twice", marks=pytest.mark.thorough)]
)
def test_gradients_alone_are_enough(name: str) -> None:
    """δ and a follow from the gradients of one sample; batches must be what a whole pass with the formula gives."""
    stages, implemented, scope = WRITTEN[name]
    results = check(with_gradients_only(port(stages)), suites=["generated"], cases=60)
    (cause,) = [each for each in results.causes if each.code not in NUMBERS]
    assert (cause.code, cause.implemented, cause.scope) == (None, implemented, scope)
    assert len(cause.explains) == len(results.failed)
    assert any(len(each.case["inputs"]) > 1 for each in results.failed if each.id in cause.explains and each.case)
