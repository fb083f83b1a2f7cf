"""Cases by suite: what the command line, pytest and ``check`` send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_check.cases.files import SUITES, suite_files
from backprop_check.cases.generate import EVERYTHING, Within, generated_cases
from backprop_check.cases.training import ALL_TRAINING, training_cases
from backprop_check.cases.wired import FAMILIES, kinds_of, wired_cases
from backprop_check.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backprop_check.network import Case


def quarter(count: int) -> int:
    """How many cases of training are generated beside so many others."""
    return (count + 3) // 4


def select_cases(
    suites: Sequence[str] = (), count: int = 200, seed: int = 0, within: Within = EVERYTHING
) -> Iterator[Case]:
    """The cases of the named suites (all by default), the published first, the generated as asked for.

    Those of training come where an implementation supports any of it, or where they are asked for by name.

    Raises ``ConfigurationError`` for a suite that there is not.
    """
    refuse_unknown(suites)
    for suite in SUITES:
        if suites and suite not in suites:
            continue
        if suite == "generated":
            yield from generated_cases(count, seed, within=within)
        elif suite == "training":
            able = ALL_TRAINING if suite in suites and within == EVERYTHING else within
            if able.trains():
                yield from (file.case for file in suite_files(suite))
                yield from training_cases(quarter(count), seed, within=able)
        elif suite in FAMILIES:
            asked = None if suite in suites and within == EVERYTHING else within
            if kinds_of(suite, asked):
                yield from (file.case for file in suite_files(suite))
                yield from wired_cases(suite, quarter(count), seed, within=asked)
        else:
            yield from (file.case for file in suite_files(suite))


def refuse_unknown(suites: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` for a suite that there is not."""
    for suite in suites:
        if suite not in SUITES:
            msg = f"there is no suite {suite!r}: expected one of {', '.join(SUITES)}"
            raise ConfigurationError(msg)
