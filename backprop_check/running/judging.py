"""One run: it judges cases, collects the results, and at the end finds the causes that they have in common.

The command line and ``check`` judge through this; pytest uses its diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_check.cases.within import supported
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect
from backprop_check.diagnose import behaviour, signs
from backprop_check.diagnose.catalogue import find_bug
from backprop_check.diagnose.cause import Cause, Failure
from backprop_check.diagnose.causes import Diagnostician
from backprop_check.diagnose.effort import Effort
from backprop_check.diagnose.evidence import Evidence, differ_anywhere
from backprop_check.diagnose.shrink import shrink
from backprop_check.errors import HarnessError
from backprop_check.running.coverage import Coverage
from backprop_check.running.hints import hinted, hinted_conclusion
from backprop_check.running.one_case import FAILURES, Judged, Result, Settings, judge_whole, not_supported
from backprop_check.running.results_file import Conclusion, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.compare import Mismatch
    from backprop_check.compare.trace import Array, Slot
    from backprop_check.protocol import Implementation

#: The number of answered cases that are remembered for the checks that need several cases.
_REMEMBERED = 40


#: Exceptions of a bug of ours in diagnosis: they are caught, since the results are worth more than their explanation.
OURS = (HarnessError, ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

#: Notes about a diagnosis that did not finish.
INTERRUPTED = "the diagnosis was interrupted: the verdicts are complete, but the cause may not be"
OUT_OF_TIME = "the diagnosis ended at its time limit (--diagnosis-timeout): the cause may not be complete"

#: The number of passing cases whose reported slots are written to the results file, for a resumed run.
_OF_USE = 200


@dataclass(eq=False)
class Run:
    """Judges cases one after the other and finds causes. Without ``diagnosing``, ``conclude`` finds nothing."""

    implementation: Implementation
    settings: Settings = field(default_factory=Settings)
    hints_only: bool = False
    diagnosing: bool = True
    summary: Summary = field(default_factory=Summary)
    coverage: Coverage = field(default_factory=Coverage)

    def __post_init__(self) -> None:
        hello = self.implementation.hello
        self.diagnostician = Diagnostician(
            hello.dtype, self.settings.profile, within=supported(hello.supports), kinks=self.settings.kinks
        )
        self._answered: list[Case] = []
        self._noted: dict[str, list[Any]] = {}

    def judge(self, cases: Iterable[Case]) -> Iterator[Judged]:
        """Judge cases; yield each result as it comes."""
        for judged in judge_whole(cases, self.implementation, self.settings, keep_running=True):
            self.take(judged)
            yield judged

    @property
    def remembers_more(self) -> bool:
        """Whether diagnosis still needs to know which arrays right replies held: it needs only the first ones."""
        return self.summary.counts["passed"] < _OF_USE

    def take(self, judged: Judged) -> None:
        """Count a result and keep what diagnosis needs of it."""
        self.summary.add(judged.result)
        for note in judged.result.notes:
            for kind in ("is not a JSON object", "again"):
                if kind in note:
                    self._noted.setdefault(kind, [note, 0])[1] += 1
                    break
        if judged.result.outcome in ("error", "protocol_error"):
            self.diagnostician.refused(judged.case, judged.result.message)
        if judged.actual is None:
            return
        if len(self._answered) < _REMEMBERED:
            self._answered.append(judged.case)
        if judged.result.outcome == "passed":
            if self.diagnostician.passing.wants_more(judged.about):  # reading a case takes time
                self.diagnostician.passed(judged.case, judged.actual)
        elif judged.result.outcome == "mismatched":
            result = judged.result
            failure = Failure(judged.case, result.mismatches, judged.actual, judged.unstable, result.id)
            self.diagnostician.failed(failure)

    def shown(self, judged: Judged) -> Result:
        """The result in the form that may be shown and written: with ``hints_only`` without expected values."""
        return hinted(judged.result, judged.case) if self.hints_only else judged.result

    def conclude(self, effort: Effort | None = None) -> Conclusion:
        """Find the causes, and make the checks that need several cases. ``effort`` limits the diagnosis.

        Ctrl-C ends only the diagnosis: the verdicts stay, and causes that can be seen at once are still reported.
        """
        if not self.diagnosing:
            return Conclusion()
        found = self._concluded(effort or Effort())
        return hinted_conclusion(found) if self.hints_only else found

    def _concluded(self, effort: Effort) -> Conclusion:
        behaviours: list[behaviour.Behaviour] = []
        notes: list[str] = []
        try:
            if self.summary.counts["passed"] + self.summary.counts["mismatched"]:
                effort.tell("asking the same cases again")
                behaviours = self._behaviours()
            causes = self._causes(effort)
        except KeyboardInterrupt:
            effort.interrupt()
            notes = [INTERRUPTED]
            causes = self._causes(effort)
        except OURS as error:
            # A bug of ours in diagnosis must not end the run.
            note = f"the diagnosis failed ({type(error).__name__}: {error}); please report it. The results are complete"
            return Conclusion([], behaviours, [note])
        if effort.out_of_time:
            notes = [OUT_OF_TIME]
        odd = [each for each in behaviours if each.code in ("BP009", "BP409")]
        if odd:
            causes = [_of_behaviour(odd[0], causes), *[each for each in causes if each.code]]
        notes += [each.message for each in behaviours if each.holds and each.message]
        return Conclusion(causes, behaviours, [*notes, *self._notes()])

    def _causes(self, effort: Effort) -> list[Cause]:
        return self.diagnostician.causes(effort, self._ask)

    def _notes(self) -> list[str]:
        """Notes, each once: that the implementation printed lines that are not replies, or had to be restarted."""
        found = []
        if "again" in self._noted:  # no number: how many cases were in flight and asked again varies by chance
            found.append("the port exited or hung in some cases and was started again: it is not reliable")
        if "is not a JSON object" in self._noted:
            first, count = self._noted["is not a JSON object"]
            more = f" (and similar lines in {count - 1} more cases)" if count > 1 else ""
            found.append(f"{first}{more}: it was ignored; print logs to standard error")
        return found

    def smallest(self, cause: Cause, effort: Effort | None = None, *, among: int = 1) -> Case | None:
        """The smallest network found that shows a cause; None where the cause has no failing case with numbers.

        ``among`` is the number of causes, including this one, that share the effort that is left.
        """
        failure = next((each for each in self._by_size() if each.id in set(cause.explains) and not each.unstable), None)
        if failure is None:
            return None
        try:
            return shrink(
                failure.case,
                lambda case: self._shows(case, cause, failure),
                effort,
                may_hold=lambda case: self._may_show(case, cause),
                among=among,
            )
        except OURS:
            return failure.case  # shows the cause, though it may not be the smallest

    def _by_size(self) -> list[Failure]:
        return sorted(self.diagnostician.failures, key=lambda each: len(each.case.inputs) * len(each.actual))

    def _may_show(self, case: Case, cause: Cause) -> bool:
        """Whether a case can show a cause: a named bug must change at least one number of the case."""
        stages = next(
            (each.stages_of(cause.code) for each in self.diagnostician.matches if cause.code in each.codes), None
        )
        if stages is None:
            return True
        dtype, profile = self.implementation.hello.dtype, self.settings.profile
        return stages.matters(case) and differ_anywhere(
            case.rounded(dtype), stages, None, dtype, profile, lenient=(), kinks=self.settings.kinks
        )

    def _shows(self, case: Case, cause: Cause, failure: Failure) -> bool:
        """Whether a case fails for the same cause."""
        judged = self._judged(case)
        if judged is None:
            return False
        if judged.result.outcome != "mismatched" or judged.actual is None or judged.unstable:
            return False
        form = signs.of_form(judged.result.mismatches)
        if form or signs.of_form(failure.mismatches):
            return cause.code in form
        hello, settings = self.implementation.hello, self.settings
        evidence = Evidence(judged.case, judged.actual, hello.dtype, settings.profile, kinks=settings.kinks)
        named = [match for match in self.diagnostician.matches if cause.code in match.codes]
        if named:
            return evidence.has_roots and evidence.reproduced_by(named[0].stages)
        if cause.code == "BP001":
            return signs.digits_printed([evidence]) is not None
        if cause.code == "BP002":
            return signs.single_precision([evidence])
        return _first_of(judged.case, judged.result.mismatches[0]) == _first_of(failure.case, failure.mismatches[0])

    def _ask(self, case: Case) -> Mapping[Slot, Array] | None:
        judged = self._judged(case)
        return None if judged is None else judged.actual

    def _judged(self, case: Case) -> Judged | None:
        """Send and judge one more case; None where it is not supported, or where a witness fails on it."""
        if not_supported(case, self.implementation.hello) is not None:
            return None
        try:
            (judged,) = list(judge_whole([case], self.implementation, self.settings, keep_running=True))
        except OURS:
            return None
        return judged

    def _behaviours(self) -> list[behaviour.Behaviour]:
        hello = self.implementation.hello
        fresh = not self.implementation.in_process

        def ask(named: Sequence[tuple[str, Case]], *, anew: bool = False) -> Sequence[Mapping[Slot, Array] | None]:
            if anew:  # an exchange without keep_running ends the process
                list(self.implementation.exchange(iter(())))
            return [self._plain(name, case) for name, case in named]

        return behaviour.behaviours(
            behaviour.probes(self._answered), ask, hello.dtype, self.settings.profile, fresh=fresh
        )

    def _plain(self, name: str, case: Case) -> Mapping[Slot, Array] | None:
        """The arrays replied to a case that is sent under another id."""
        dtype = self.implementation.hello.dtype
        data = case.request(dtype).replace(case.id.encode(), name.encode(), 1)
        (answer,) = list(self.implementation.exchange([(name, data)], keep_running=True))
        if answer.kind != "reply" or answer.reply is None:
            return None
        return compare(expect(case.rounded(dtype), dtype, self.settings.profile), answer.reply).actual


def _first_of(case: Case, first: Mismatch) -> tuple[str, str, str | None]:
    """The quantity of the first wrong value, the problem, and the kind of its layer."""
    return first.quantity, first.problem, None if first.layer is None else case.network.layers[first.layer].kind


def _of_behaviour(seen: behaviour.Behaviour, causes: Sequence[Cause]) -> Cause:
    bug = find_bug(seen.code or "")
    cases = [case for cause in causes if cause.code is None for case in cause.explains]
    return Cause(
        code=bug.code,
        bug=bug.name,
        title=bug.title,
        sentence=bug.sentence,
        detail=seen.message,
        equivalent=seen.equivalent,
        right=bug.right,
        implemented=bug.wrong,
        fix=bug.fix,
        stays_right=bug.stays_right,
        cases=len(cases),
        first_case=cases[0] if cases else None,
        explains=cases,
    )


def failing(results: Iterable[Result]) -> list[Result]:
    """The results that make a run fail."""
    return [each for each in results if each.outcome in FAILURES]
