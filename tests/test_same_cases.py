"""Cases stay the same forever, byte for byte: a seed and a number that somebody noted always mean the same case.

Hashes of today's cases, over the requests of both dtypes. What is generated depends on no last bit: numbers that are
compared during generation are either far from the limit, or almost on it and then summed in a fixed order.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from backprop_check.case.training import FEATURES, OPTIMIZERS
from backprop_check.cases.families import family_case
from backprop_check.cases.generate import generated_case
from backprop_check.cases.plan import Plan, select_cases
from backprop_check.cases.training import training_case
from backprop_check.cases.within import supported
from backprop_check.diagnose.apart import cases_to_tell_apart
from backprop_check.diagnose.shrink import shrink
from backprop_check.functions.names import ACTIVATIONS, ALL_LOSSES, LOSS_FEATURES
from backprop_check.kinds import FEATURES as LAYER_FEATURES
from backprop_check.kinds import KINDS
from backprop_check.protocol import Supports

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backprop_check.case.network import Case

EVERY_FEATURE = [*FEATURES, *LAYER_FEATURES, *LOSS_FEATURES]

CLAIMS = {
    "nothing": Supports(),
    "everything": Supports(
        layers=list(KINDS),
        activations=list(ACTIVATIONS),
        losses=list(ALL_LOSSES),
        optimizers=list(OPTIMIZERS),
        features=EVERY_FEATURE,
    ),
    "all but lists": Supports(layers=list(KINDS), optimizers=list(OPTIMIZERS), features=EVERY_FEATURE),
    "one sample, no update": Supports(layers=list(KINDS), optimizers=[], batch=False, features=["graph"]),
    "ReLU": Supports(
        layers=["dense", "conv2d", "max_pool2d"], activations=["relu"], losses=["huber"], optimizers=["adam", "sgd"]
    ),
    "no dense layers": Supports(layers=["lstm", "linear"], activations=["tanh", "identity"], losses=["squared_error"]),
}


def digest(cases: Iterable[Case]) -> str:
    """Sixteen digits of the hash of ids and requests."""
    found = hashlib.sha256()
    for case in cases:
        found.update(b"\n".join([case.id.encode(), case.request("float64"), case.request("float32"), b""]))
    return found.hexdigest()[:16]


PLANS: dict[tuple[str, int, int], dict[str, str]] = {
    ("nothing", 0, 60): {
        "generated": "a10ba7e79c36ea67",
    },
    ("nothing", 17, 25): {
        "generated": "02f1119cf5a2b83d",
    },
    ("everything", 0, 40): {
        "generated": "e9e763d0d43bdb11",
        "training": "224803f9002fc2f0",
        "graph": "c937311cd98f91a9",
        "convolution": "78c44b7f802f3a05",
        "recurrent": "580f5c798f5cdcef",
        "normalisation": "ebb437a0965f4b7a",
        "attention": "5b0c885066e21b85",
    },
    ("everything", 3, 24): {
        "generated": "4736cd8988762df8",
        "training": "08fe0fed28882384",
        "graph": "2318785b425d28b1",
        "convolution": "edc21570805d9900",
        "recurrent": "73a6e85254efa8b5",
        "normalisation": "28b09066b8edb334",
        "attention": "84e1c04a10c29692",
    },
    ("all but lists", 0, 24): {
        "generated": "cf555138409a102c",
        "training": "da523b0a7799f5bf",
        "graph": "d9d5f0a7dc84422e",
        "convolution": "abc772f79e51a791",
        "recurrent": "6cf6946e32e80622",
        "normalisation": "f499faa36b38d72f",
        "attention": "f25625e32fe948c1",
    },
    ("one sample, no update", 1, 24): {
        "generated": "83025d933d35945c",
        "graph": "124a010d92133fc2",
        "convolution": "3310a8ff091a99b5",
        "recurrent": "b549f797179148fd",
        "normalisation": "13e53fd85c5d3298",
        "attention": "1f9b86b98cdd71a5",
    },
    ("ReLU", 0, 40): {
        "generated": "fd6ffe2b9384ea9f",
        "training": "ae03e5a78b950340",
        "convolution": "1c6242ba157b89a0",
    },
    ("no dense layers", 2, 24): {
        "recurrent": "93984af72a480cb8",
        "attention": "8161be2e1ee491a7",
    },
}


@pytest.mark.parametrize(("claims", "seed", "count"), PLANS)
def test_of_every_suite(claims: str, seed: int, count: int) -> None:
    """For several seeds, numbers of cases and sets of claims."""
    plan = Plan(seed=seed, count=count, within=supported(CLAIMS[claims]))
    made: dict[str, list[Case]] = {}
    for position in range(len(plan)):
        if ":" in plan.label(position):  # generated, and no file
            made.setdefault(plan.suite(position), []).append(plan.case(position))
    assert {suite: digest(cases) for suite, cases in made.items()} == PLANS[claims, seed, count]


SELECTED: dict[str, str] = {
    "generated": "9e992403d7d59e93",
    "training": "724de46ebf4ead6a",
    "graph": "3a88c06e75f4867a",
    "convolution": "432586b06edd61a6",
    "recurrent": "cc554d10969c9c40",
    "normalisation": "b9e91810456050e8",
    "attention": "9e3d982cc47c5966",
}


@pytest.mark.parametrize("suite", SELECTED)
def test_of_a_suite_that_is_named(suite: str) -> None:
    """It has all its cases, whatever is claimed."""
    assert digest(case for case in select_cases([suite], 24, 5) if case.name[-6:-4] == "-s") == SELECTED[suite]


def test_where_the_order_of_summation_decides() -> None:
    """A number at exactly the smallest allowed distance from a kink is always on the same side."""
    assert [generated_case(24_817, 1).id, generated_case(37_927, 1).id, training_case(794).id] == [
        "mlp-2x2x3x1x5-elu-s24817-c5e289a7",
        "mlp-4x4x3-softsign-s37927-f4edc174",
        "rmsprop-centered-momentum-s0794-105bdd95",
    ]


def failing(what: str) -> list[Case]:
    """Three cases, as if they had failed."""
    if what == "chains":
        return [generated_case(index) for index in (2, 9, 40)]
    if what == "training":
        return [training_case(index) for index in (2, 9, 40)]
    return [family_case(what, index, 5) for index in (2, 9, 40)]


APART: dict[str, str] = {
    "chains": "b43a571108a45bff",
    "training": "ce1d3cefaa616921",
    "graph": "d6fd0847e3950931",
    "convolution": "db23fa7d8ba66474",
    "recurrent": "6025fa0fffb717c0",
    "normalisation": "60b441c17e8c57d5",
    "attention": "b2c27430e378b73a",
}


@pytest.mark.parametrize("what", APART)
def test_of_what_tells_names_apart(what: str) -> None:
    """Further cases: failed ones with other numbers, more samples and larger sizes, and generated ones."""
    assert digest(case for case, _ in zip(cases_to_tell_apart(failing(what)), range(40), strict=False)) == APART[what]


SMALLEST: dict[str, str] = {
    "chains": "9ce67a2c19a1d7ad",
    "training": "1d5d4123a2759ffb",
    "graph": "ffb0de8112116fa4",
    "convolution": "3da2e8dadbfedbdb",
    "recurrent": "6d6864ff8efc20b2",
    "normalisation": "cdc5006951e903a9",
    "attention": "f71cebaba22a35c6",
}


@pytest.mark.parametrize("what", SMALLEST)
def test_of_the_search_for_the_smallest_network(what: str) -> None:
    """All candidates that are tried, where some hold and others do not. A better search changes these."""
    asked: list[Case] = []

    def holds(candidate: Case) -> bool:
        asked.append(candidate)
        return len(asked) < 60 and int(candidate.id[-2:], 16) % 3 > 0

    found = [shrink(case, holds) for case in failing(what)]
    assert digest([*asked, *found]) == SMALLEST[what]
