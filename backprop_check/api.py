"""``check``: judge a callable from Python."""

from __future__ import annotations

import math
import operator
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import msgspec

from backprop_check.cases.files import refuse_unknown
from backprop_check.cases.plan import Plan
from backprop_check.cases.within import supported
from backprop_check.compare.compare import Mismatch
from backprop_check.config import KINKS, Configured, configured, open_configured
from backprop_check.diagnose.effort import Effort
from backprop_check.errors import ConfigurationError
from backprop_check.protocol import CallableImplementation, Implementation, Opening
from backprop_check.running.chunks import Work, alone, kept_for
from backprop_check.running.coverage import Coverage, requirements
from backprop_check.running.judging import Run
from backprop_check.running.one_case import FAILURES, Judged, Result, Settings, judge_whole
from backprop_check.running.results_file import Conclusion, Summary, head, how_many_fail, tail, with_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

    from backprop_check.case.network import Case
    from backprop_check.diagnose.cause import Cause
    from backprop_check.protocol import ImplementationInfo

#: The columns of a data frame of compared values.
VALUES = (
    "case",
    "quantity",
    "layer",
    "step",
    "sample",
    "neuron",
    "index",
    "expected",
    "actual",
    "error",
    "allowed",
    "ok",
)


class Mismatched(AssertionError):  # noqa: N818 - it is a verdict, as in pytest's own names
    """An implementation that does not conform; the text names the causes and the first failing cases."""


class Results:
    """What judging gave: ``cases`` (a ``Result`` each), ``causes``, ``summary``, and ways to look at them."""

    def __init__(
        self,
        cases: list[Result],
        summary: Summary,
        conclusion: Conclusion | None = None,
        info: ImplementationInfo | None = None,
        judged: Sequence[Judged] = (),
        about: dict[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.conclusion = conclusion or Conclusion()
        names = self.conclusion.names()
        self.cases = [with_names(each, names) for each in cases]
        self.summary = summary
        self._info, self._judged, self._about = info, judged, about or {}
        self._settings = settings or Settings()

    @property
    def failed(self) -> list[Result]:
        """The cases that make the run fail."""
        return [case for case in self.cases if case.outcome in FAILURES]

    @property
    def causes(self) -> list[Cause]:
        """What the failures have in common: named bugs, or what is seen where no name fits."""
        return self.conclusion.causes

    def raise_for_mismatch(self) -> None:
        """Raise ``Mismatched`` (an AssertionError) where a case failed, or none was judged, or not what is required."""
        if self.failed:
            count = how_many_fail(self.summary.counts)
            causes = [f"{each.code or each.title}: {each.sentence} {each.fix}".rstrip() for each in self.causes]
            lines = [f"{case.id}: {case.outcome}: {case.message}" for case in self.failed[:5]]
            raise Mismatched("\n".join([count, *causes, *lines]))
        if self.conclusion.failed:
            raise Mismatched("\n".join(f"{each.code}: {each.message}" for each in self.conclusion.failed))
        if not self.summary.counts["passed"]:
            msg = "no case was judged: the implementation supports none of them"
            raise Mismatched(msg)
        if self.conclusion.unmet:
            raise Mismatched("\n".join(self.conclusion.unmet))

    def to_dataframe(self, rows: Literal["mismatches", "values"] = "mismatches") -> pd.DataFrame:
        """A row a mismatch, or (``rows="values"``) a row a compared value; needs pandas.

        A mismatch's row holds case, outcome, diagnosis and the mismatch's own fields; a value's row its place,
        expected, actual, error, allowed and whether it is within.
        """
        import pandas as pd  # noqa: PLC0415 - an optional dependency

        if rows == "values":
            dtype = self._info.dtype if self._info else "float64"
            found = [row for each in self._judged for row in _rows(each, dtype, self._settings)]
            return pd.DataFrame(found, columns=list(VALUES))
        mismatches = [
            {
                "case": case.id,
                "outcome": case.outcome,
                "diagnosis": " ".join(case.diagnosis),
                **msgspec.to_builtins(one),
            }
            for case in self.cases
            for one in case.mismatches
        ]
        columns = ["case", "outcome", "diagnosis", *(field.name for field in msgspec.structs.fields(Mismatch))]
        return pd.DataFrame(mismatches, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """As a results file holds them."""
        assert self._info is not None
        cases = {"cases": msgspec.to_builtins(self.cases)}
        return {**head(self._info, self._about, []), **cases, **tail(self.summary, self.conclusion)}

    def to_html(self, path: str | Path) -> Path:
        """Write the report of ``--html``."""
        from backprop_check.report.html import render  # noqa: PLC0415 - jinja2

        target = Path(path)
        target.write_bytes(render([self.to_dict()]))
        return target

    def _repr_html_(self) -> str:
        """A compact summary for notebooks."""
        from backprop_check.report.html import summary_html  # noqa: PLC0415 - jinja2

        text: str = summary_html(self.to_dict())
        return text

    def __repr__(self) -> str:
        return f"<Results: {self.summary.counts['passed']} of {self.summary.cases} cases passed>"


def _rows(judged: Judged, dtype: str, settings: Settings) -> Iterable[tuple[Any, ...]]:
    from backprop_check.compare.expected import expect  # noqa: PLC0415
    from backprop_check.compare.trace import axes_of  # noqa: PLC0415
    from backprop_check.diagnose.kinks import freed  # noqa: PLC0415 - only where asked for

    if judged.actual is None:
        return
    import numpy as np  # noqa: PLC0415

    expected = expect(judged.case, dtype, settings.profile)
    if settings.kinks == "any":
        expected = freed(judged.case, expected, judged.actual, dtype, settings.profile)
    for slot, array in judged.actual.items():
        right, allowed = expected.values[slot], expected.reach(slot, array)  # noqa: PD011 - no data frame's
        for at in np.ndindex(array.shape):
            place = dict(zip(axes_of(slot.quantity, len(at)), at, strict=True))
            error = abs(float(array[at]) - float(right[at]))
            bound = float(allowed[at]) + settings.atol + settings.rtol * abs(float(right[at]))
            yield (
                judged.case.id,
                slot.quantity,
                slot.layer,
                slot.step,
                place.get("sample"),
                place.get("neuron"),
                place.get("index"),
                float(right[at]),
                float(array[at]),
                error,
                bound,
                error <= bound,
            )


def _spec_of(function: Callable[..., Any]) -> str:
    """``python:module:callable`` of a function that other processes find so; empty for all others."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if module in (None, "__main__") or path is None:
        return ""
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return f"python:{module}:{path}" if found is function else ""


def _is_count(cases: object) -> TypeGuard[int]:
    """Whether it is a whole number, numpy's too."""
    return hasattr(cases, "__index__")


def _refuse_wrong_arguments(implementation: object, profile: str, rtol: float, atol: float, kinks: str | None) -> None:
    if profile not in ("textbook", "strict"):
        raise ConfigurationError("bad-profile", f"profile: expected 'textbook' or 'strict', got {profile!r}")
    if not (math.isfinite(rtol) and math.isfinite(atol) and rtol >= 0 and atol >= 0):
        cause = f"rtol and atol: expected finite numbers of at least 0, got {rtol!r} and {atol!r}"
        raise ConfigurationError("bad-tolerance", cause)
    if kinks not in (None, *KINKS):
        raise ConfigurationError("bad-kinks", f"kinks: expected 'any' or 'pytorch', got {kinks!r}")
    if not (isinstance(implementation, str) or callable(implementation)):
        cause = f"implementation: expected a callable or an IMPL text, got {type(implementation).__name__}"
        raise ConfigurationError("bad-implementation", cause)


def _opened(
    implementation: Callable[[dict[str, Any]], Any] | str,
    entry: Configured | None,
    dtype: Literal["float64", "float32"] | None,
) -> tuple[Implementation, str]:
    """The implementation, and the IMPL text by which other processes find a function; empty where they do not."""
    if entry is not None:
        return open_configured(entry, isolated=False), ""
    assert callable(implementation)
    name = getattr(implementation, "__name__", type(implementation).__name__)
    command = "" if dtype is not None else _spec_of(implementation)
    return CallableImplementation(implementation, name=name, dtype=dtype, command=command), command


def check(
    implementation: Callable[[dict[str, Any]], Any] | str,
    *,
    cases: int | Iterable[Case] = 200,
    suites: Sequence[str] = (),
    seed: int = 0,
    profile: Literal["textbook", "strict"] = "textbook",
    rtol: float = 0.0,
    atol: float = 0.0,
    kinks: Literal["any", "pytorch"] | None = None,
    dtype: Literal["float64", "float32"] | None = None,
    keep_values: bool = False,
    cache: bool = True,
    diagnosis_timeout: float | None = None,
    require: Sequence[str] = (),
) -> Results:
    """Judge ``implementation``: a callable from the protocol's case (a dict) to its reply, or an IMPL text.

    An IMPL text is a name of the configuration in this folder, a command line, or ``python:module:callable``, which
    here runs in this process.

    ``cases`` is how many generated cases, or the cases themselves. ``kinks="pytorch"`` accepts PyTorch's slope at a
    kink only, and not every one between the one-sided derivatives. ``dtype`` is the callable's arithmetic (default:
    what its attribute ``dtype`` says, else float64). ``keep_values`` keeps every value for
    ``to_dataframe("values")``. With ``cache`` what the witnesses said of the shipped and generated cases is kept for
    the next time, as the command line keeps it. The search for the cause counts its work; ``diagnosis_timeout`` ends
    it after so many seconds. ``require`` are words of ``--require``: levels, kinds of layers, activations, losses,
    optimizers, ``cases=N``; what was not judged of them stands in ``conclusion.unmet``. Raises ``ConfigurationError``
    and ``StartError`` as the command line does; a failing case raises nothing (``Results.raise_for_mismatch``).
    """
    _refuse_wrong_arguments(implementation, profile, rtol, atol, kinks)
    suites = (suites,) if isinstance(suites, str) else suites
    refuse_unknown(*suites)
    words = (require,) if isinstance(require, str) else tuple(require)
    entry = None
    if isinstance(implementation, str):
        entry = configured(implementation) or Configured(implementation)
        kinks, words = kinks or entry.kinks, (*entry.require, *words)
    required = requirements(words)
    opened, command = _opened(implementation, entry, dtype)
    within = supported(opened.hello.supports)
    judged: list[Judged] = []
    results: list[Result] = []
    plan = None
    with opened:
        settings = Settings(profile=profile, rtol=rtol, atol=atol, kinks=kinks or "any")
        run = Run(opened, settings, coverage=Coverage(required))
        if _is_count(cases):
            plan = Plan(suites=tuple(suites), count=operator.index(cases), seed=seed, within=within)
            kept = kept_for(opened.hello, settings) if cache and not keep_values else None
            work = Work(spec="", opening=Opening(), plan=plan, settings=settings, cache=kept)
            judging = alone(work, opened)(0)
        else:
            judging = judge_whole(cases, opened, settings, keep_running=True)  # type: ignore[arg-type]
        for position, each in enumerate(judging):
            run.take(each)
            run.coverage.take(plan.suite(position) if plan else "", each)
            results.append(each.result)
            if keep_values:
                judged.append(each)
        conclusion = run.conclude(Effort.within(diagnosis_timeout))
    conclusion.notes += plan.notes() if plan is not None else []
    conclusion.unmet = run.coverage.unmet(within)
    run.summary.complete = True
    about: dict[str, Any] = {"seed": seed, "profile": profile, "rtol": rtol, "atol": atol, "kinks": settings.kinks}
    info = opened.describe()
    if _is_count(cases) and (isinstance(implementation, str) or command):
        about |= {"suites": list(suites), "cases": operator.index(cases)}
    else:  # no command asks for these cases, or finds this function
        info = replace(info, command="")
    return Results(results, run.summary, conclusion, info, judged, about, settings)
