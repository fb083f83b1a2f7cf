"""Whatever an implementation claims, its cases can be planned and made, and stay within its claims."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backprop_check import check
from backprop_check.case.training import FEATURES, OPTIMIZERS
from backprop_check.cases.families import family_case
from backprop_check.cases.files import SUITES
from backprop_check.cases.plan import Plan, select_cases
from backprop_check.cases.within import ALL, Within, drawable, kinds_of, supported
from backprop_check.errors import NothingToDrawError
from backprop_check.functions.names import ACTIVATIONS, ALL_LOSSES, FAMILIES, LOSS_FEATURES
from backprop_check.kinds import FEATURES as LAYER_FEATURES
from backprop_check.kinds import KINDS
from backprop_check.protocol import Supports
from backprop_check.protocol.messages import HelloReply
from backprop_check.running.one_case import not_supported

if TYPE_CHECKING:
    from collections.abc import Sequence


def lists(words: Sequence[str]) -> st.SearchStrategy[list[str] | None]:
    """Omitted, empty, everything, one word, or any of them."""
    return st.one_of(
        st.none(),
        st.just([]),
        st.just(list(words)),
        st.sampled_from(words).map(lambda word: [word]),
        st.lists(st.sampled_from(words), unique=True),
    )


CLAIMS = st.builds(
    Supports,
    layers=lists(tuple(KINDS)),
    activations=lists(ACTIVATIONS),
    losses=lists(ALL_LOSSES),
    optimizers=lists(OPTIMIZERS),
    batch=st.booleans(),
    features=lists((*FEATURES, *LAYER_FEATURES, *LOSS_FEATURES)),
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(claims=CLAIMS, seed=st.integers(0, 3), start=st.integers(0, 400))
@example(
    claims=Supports(layers=["dense", "linear", "transformer_block"], activations=["identity", "tanh"]), seed=0, start=0
)
@example(claims=Supports(activations=[], features=["graph"]), seed=0, start=0)
@example(claims=Supports(layers=["dense", "conv2d", "max_pool2d"], activations=["relu"]), seed=0, start=0)
@example(claims=Supports(layers=["conv2d"], features=["graph"], optimizers=["adam"]), seed=0, start=0)
@example(claims=Supports(layers=["dense", "lstm"], activations=[]), seed=0, start=0)
@example(
    claims=Supports(layers=["dense", "conv1d"], activations=["softmax"], losses=["cross_entropy"]), seed=0, start=0
)
@example(claims=Supports(activations=["log_softmax"], features=["graph"]), seed=0, start=0)
def test_any_claims_give_cases_that_are_supported(claims: Supports, seed: int, start: int) -> None:
    """Some cases of every suite from ``start`` on: none raises, and each is within the claims."""
    hello = HelloReply(protocol=1, supports=claims)
    plan = Plan(count=start + 4, seed=seed, within=supported(claims))
    made: dict[str, list[int]] = {}
    for position in range(len(plan)):
        if ":" in plan.label(position):  # generated, and no file
            made.setdefault(plan.suite(position), []).append(position)
    for position in (each for positions in made.values() for each in positions[-3:]):
        assert not_supported(plan.case(position), hello) is None, plan.label(position)


@pytest.mark.parametrize(
    "claims",
    [
        Supports(activations=[], features=["graph"]),
        Supports(layers=["conv2d", "linear"], activations=["relu"], features=["graph"], optimizers=["adam"]),
        Supports(layers=["dense", "linear", "transformer_block"], activations=["tanh"]),
    ],
)
def test_a_plan_and_a_selection_hold_the_same(claims: Supports) -> None:
    """Also where a suite has no generated cases for the claims: then only its files."""
    within = supported(claims)
    plan = Plan(count=8, within=within)
    chosen = [case.id for case in select_cases(count=8, within=within)]
    assert [plan.case(position).id for position in range(len(plan))] == chosen
    assert len(set(chosen)) == len(chosen)


def test_what_cannot_be_drawn_is_said_so() -> None:
    """An exception of its own, which callers that look for cases can catch: it hides no bug of the harness."""
    within = Within(activations=("tanh",), layers=("dense", "transformer_block"))
    assert not drawable("attention", within)
    with pytest.raises(NothingToDrawError, match="attention"):
        family_case("attention", 0, 0, within)


def test_where_one_kind_cannot_be_drawn_the_others_take_its_turn() -> None:
    within = Within(activations=("tanh", "identity"), layers=("dense", "linear", "transformer_block"))
    kinds = {layer.kind for index in range(6) for layer in family_case("attention", index, 0, within).network.layers}
    assert kinds == {"dense", "linear"}


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_claimed_is_everything_drawn(family: str) -> None:
    assert drawable(family, ALL) == kinds_of(family, ALL)


def test_layers_without_an_activation_need_none() -> None:
    """A convolutional network of ReLUs: its pooling layers are judged although it does not claim ``identity``."""
    claims = Supports(layers=["dense", "conv2d", "max_pool2d"], activations=["relu"])
    plan = Plan(suites=("convolution",), count=40, within=supported(claims))
    hello = HelloReply(protocol=1, supports=claims)
    judged = [case for case in map(plan.case, range(len(plan))) if not_supported(case, hello) is None]
    assert {layer.kind for case in judged for layer in case.network.layers} == {"dense", "conv2d", "max_pool2d"}


def test_suites_without_cases_are_named() -> None:
    plan = Plan(within=supported(Supports(activations=[], features=["graph"])))
    assert plan.without_cases() == ["generated", "graph"]
    assert set(plan.without_cases()) < set(SUITES)
    assert not Plan(within=supported(Supports())).without_cases()


@pytest.mark.parametrize(
    ("claims", "count", "digest"),
    [
        (
            Supports(
                layers=["dense", "linear", "transformer_block", "conv2d", "lstm"],
                activations=["identity", "gelu", "tanh", "sigmoid"],
                losses=["half_squared_error", "binary_cross_entropy"],
                optimizers=["sgd", "adam"],
                features=["graph", "momentum"],
            ),
            89,
            "39b211da1dfeed20",
        ),
        (
            Supports(
                layers=["dense", "linear"],
                activations=["softmax", "relu"],
                losses=["cross_entropy", "hinge"],
                batch=False,
                features=["graph"],
            ),
            59,
            "c4cfbeaeb1543e7c",
        ),
    ],
)
def test_the_cases_of_a_seed_are_the_same_for_ever(claims: Supports, count: int, digest: str) -> None:
    """The cases are those of the day when this test was written.

    One graph of each was not among those that the implementation supports (it was never sent), and is another now.
    """
    plan = Plan(count=40, seed=3, within=supported(claims))
    ids = [plan.case(position).id for position in range(len(plan)) if ":" in plan.label(position)]
    same = [each for each in ids if not each.startswith("graph-linear-s0007")]
    assert len(same) == count
    assert hashlib.sha256("\n".join(same).encode()).hexdigest()[:16] == digest


def right(case: dict[str, Any]) -> dict[str, Any]:
    """The bundled port."""
    import small_port  # noqa: PLC0415 - it changes the path that modules are found on

    answer: dict[str, Any] = small_port.right(case)
    return answer


def test_a_run_says_what_it_has_no_cases_of() -> None:
    def few(case: dict[str, Any]) -> dict[str, Any]:
        return right(case)

    few.supports = {"layers": ["dense", "transformer_block"], "activations": ["tanh"]}  # type: ignore[attr-defined]
    results = check(few, cases=12)
    assert not results.failed
    assert results.summary.counts["passed"] >= 12
    assert ["suites attention:" in note for note in results.conclusion.notes] == [True]

    few.supports = {"activations": [], "features": ["graph"]}  # type: ignore[attr-defined]
    results = check(few, cases=12)
    assert results.summary.counts["passed"] == 0
    (note,) = results.conclusion.notes
    assert "for the suites generated, graph: the layers, activations and losses" in note
