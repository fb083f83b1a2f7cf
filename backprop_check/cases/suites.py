"""The generated suites by name: how their cases are generated, and for which implementations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from backprop_check.cases import families, generate, training
from backprop_check.cases.within import ALL, ALL_TRAINING, LEVEL_1, Within, drawable, kinds_of
from backprop_check.kinds import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case


class Generated(NamedTuple):
    """How the cases of a suite are generated.

    ``label`` is a text with all that a case depends on; ``claimed`` says whether an implementation claims anything of
    the suite, ``able`` whether a case can be generated for it; ``whole`` is what the suite contains where no claims are
    known.
    """

    case: Callable[[int, int, Within], Case]
    label: Callable[[int, int, Within], str]
    claimed: Callable[[Within], bool]
    able: Callable[[Within], bool]
    whole: Within


def _family(name: str) -> Generated:
    version = families.FAMILY_VERSION
    return Generated(
        lambda index, seed, within: families.family_case(name, index, seed, within),
        lambda index, seed, within: f"{name}:{version}:{seed}:{index}:{families.label(name, within)}",
        lambda within: bool(kinds_of(name, within)),
        lambda within: bool(drawable(name, within)),
        ALL,
    )


#: The suites that are generated; ``published`` and ``edge`` have files only.
GENERATED: dict[str, Generated] = {
    "generated": Generated(
        generate.generated_case,
        lambda index, seed, within: f"generated:{seed}:{index}{generate.label(within)}",
        lambda _: True,
        Within.has_chains,
        LEVEL_1,
    ),
    "training": Generated(
        training.training_case,
        lambda index, seed, within: f"training:{seed}:{index}:{training.label(within)}",
        Within.trains,
        Within.has_chains,
        ALL_TRAINING,
    ),
    **{name: _family(name) for name in FAMILIES},
}


def generated_count(suite: str, count: int) -> int:
    """The number of generated cases of a suite where ``count`` are asked for: a quarter for all suites but
    ``generated``.
    """
    return count if suite == "generated" else (count + 3) // 4 if suite in GENERATED else 0
