"""``check``: judge a callable from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from backprop_check.cases.select import select_cases
from backprop_check.protocol import CallableImplementation, Implementation, open_implementation
from backprop_check.results import Summary
from backprop_check.run import FAILURES, Result, Settings, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

    from backprop_check.network import Case


class Mismatched(AssertionError):  # noqa: N818 - it is a verdict, as in pytest's own names
    """An implementation that does not conform; the text names the first failing cases."""


class Results:
    """What judging gave: ``cases`` (a ``Result`` each), ``summary``, and ways to look at them."""

    def __init__(self, cases: list[Result], summary: Summary) -> None:
        self.cases, self.summary = cases, summary

    @property
    def failed(self) -> list[Result]:
        """The cases that make the run fail."""
        return [case for case in self.cases if case.outcome in FAILURES]

    def raise_for_mismatch(self) -> None:
        """Raise ``Mismatched`` (an AssertionError) where a case failed, or where none was judged."""
        if self.failed:
            lines = [f"{case.id}: {case.outcome}: {case.message}" for case in self.failed[:5]]
            count = f"{len(self.failed)} of {self.summary.cases} cases fail"
            raise Mismatched("\n".join([count, *lines]))
        if not self.summary.counts["passed"]:
            msg = "no case was judged: the implementation supports none of them"
            raise Mismatched(msg)

    def to_dataframe(self) -> pd.DataFrame:
        """A row a mismatch: case, outcome, and the mismatch's own fields (needs pandas)."""
        import pandas as pd  # noqa: PLC0415 - an optional dependency

        rows = [
            {"case": case.id, "outcome": case.outcome, **msgspec.to_builtins(mismatch)}
            for case in self.cases
            for mismatch in case.mismatches
        ]
        columns = ["case", "outcome", *(field.name for field in msgspec.structs.fields(_mismatch()))]
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        return f"<Results: {self.summary.counts['passed']} of {self.summary.cases} cases passed>"


def _mismatch() -> Any:
    from backprop_check.compare import Mismatch  # noqa: PLC0415

    return Mismatch


def check(
    implementation: Callable[[dict[str, Any]], Any] | str,
    *,
    cases: int | Iterable[Case] = 200,
    suites: Sequence[str] = (),
    seed: int = 0,
    profile: Literal["textbook", "strict"] = "textbook",
    rtol: float = 0.0,
    atol: float = 0.0,
    dtype: Literal["float64", "float32"] = "float64",
) -> Results:
    """Judge ``implementation``: a callable from the protocol's case (a dict) to its reply, or an IMPL text.

    ``cases`` is how many generated cases, or the cases themselves. Raises ``ConfigurationError`` and
    ``StartError`` as the command line does; a failing case raises nothing (``Results.raise_for_mismatch``).
    """
    opened: Implementation
    if isinstance(implementation, str):
        opened = open_implementation(implementation)
    else:
        name = getattr(implementation, "__name__", type(implementation).__name__)
        opened = CallableImplementation(implementation, name=name, dtype=dtype)
    chosen = select_cases(suites, cases, seed) if isinstance(cases, int) else cases
    summary, results = Summary(), []
    with opened:
        for result in judge(chosen, opened, Settings(profile=profile, rtol=rtol, atol=atol)):
            summary.add(result)
            results.append(result)
    summary.complete = True
    return Results(results, summary)
