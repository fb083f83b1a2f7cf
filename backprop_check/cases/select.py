"""Cases by suite: what the command line, pytest and ``check`` send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_check.cases.files import SUITES, suite_files
from backprop_check.cases.generate import EVERYTHING, Within, generated_cases
from backprop_check.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backprop_check.network import Case


def select_cases(
    suites: Sequence[str] = (), count: int = 200, seed: int = 0, within: Within = EVERYTHING
) -> Iterator[Case]:
    """The cases of the named suites (all by default), the published first, the generated as asked for.

    Raises ``ConfigurationError`` for a suite that there is not.
    """
    refuse_unknown(suites)
    for suite in SUITES:
        if suites and suite not in suites:
            continue
        if suite == "generated":
            yield from generated_cases(count, seed, within=within)
        else:
            yield from (file.case for file in suite_files(suite))


def refuse_unknown(suites: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` for a suite that there is not."""
    for suite in suites:
        if suite not in SUITES:
            msg = f"there is no suite {suite!r}: expected one of {', '.join(SUITES)}"
            raise ConfigurationError(msg)
