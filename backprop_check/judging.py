"""One run: cases go through an implementation, results come out, and at the end what they have in common.

The command line, pytest and ``check`` all judge through this.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.compare import compare
from backprop_check.diagnose import behaviour, signs
from backprop_check.diagnose.catalogue import find_bug
from backprop_check.diagnose.causes import Cause, Diagnostician, Failure
from backprop_check.diagnose.match import Evidence
from backprop_check.diagnose.shrink import shrink
from backprop_check.errors import HarnessError
from backprop_check.expected import expect
from backprop_check.places import in_words, what_it_is
from backprop_check.plan import supported
from backprop_check.results import Conclusion, Summary
from backprop_check.run import FAILURES, Judged, Result, Settings, judge_whole, not_supported

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from backprop_check.compare import Mismatch
    from backprop_check.network import Case
    from backprop_check.protocol import Implementation
    from backprop_check.trace import Array, Slot

#: So many of a run's cases are remembered for the checks that need several.
_REMEMBERED = 40


#: Faults of ours in what is said about results: they are worth more than their explanation.
OURS = (HarnessError, ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

#: What so many passing cases reported is kept for a run that goes on later.
_OF_USE = 200


@dataclass(eq=False)
class Run:
    """Judges cases one after the other and concludes. ``diagnosing`` False leaves out all that is done at the end."""

    implementation: Implementation
    settings: Settings = field(default_factory=Settings)
    hints_only: bool = False
    diagnosing: bool = True
    summary: Summary = field(default_factory=Summary)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        hello = self.implementation.hello
        self.diagnostician = Diagnostician(hello.dtype, self.settings.profile, within=supported(hello.supports))
        self._answered: list[Case] = []
        self._noted: dict[str, list[Any]] = {}

    def judge(self, cases: Iterable[Case]) -> Iterator[Judged]:
        """The cases' results, as they come."""
        for judged in judge_whole(cases, self.implementation, self.settings, keep_running=True):
            self.take(judged)
            yield judged

    @property
    def remembers_more(self) -> bool:
        """Whether what right replies held is still of use: diagnosis needs that of the first ones only."""
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
            if self.diagnostician.passing.wants_more(judged.about):  # to read a case takes its time
                self.diagnostician.passed(judged.case, judged.actual)
        elif judged.result.outcome == "mismatched":
            result = judged.result
            failure = Failure(judged.case, result.mismatches, judged.actual, judged.unstable, result.id)
            self.diagnostician.failed(failure)

    def conclude(self, seconds: float | None = None) -> Conclusion:
        """The causes, and the checks that need several cases. ``seconds`` bounds the diagnosis."""
        if not self.diagnosing:
            return Conclusion()
        budget = max(4.0, time.monotonic() - self.started) if seconds is None else seconds
        behaviours = self._behaviours() if self.summary.counts["passed"] + self.summary.counts["mismatched"] else []
        try:
            causes = self.diagnostician.causes(budget, self._ask)
        except OURS as error:
            # A fault of ours here must not end the run.
            note = f"the diagnosis failed ({type(error).__name__}: {error}); please report it. The results are complete"
            return Conclusion([], behaviours, [note])
        odd = [each for each in behaviours if each.code in ("BP009", "BP409")]
        if odd:
            causes = [_of_behaviour(odd[0], causes), *[each for each in causes if each.code]]
        return Conclusion(causes, behaviours, self._notes())

    def _notes(self) -> list[str]:
        """What the implementation printed beside its replies, and how often it was started again; each once."""
        found = []
        if "again" in self._noted:  # how many were in flight, and so what was asked again, is chance
            found.append("the port ended or hung in some cases and was started again: it is not reliable")
        if "is not a JSON object" in self._noted:
            first, count = self._noted["is not a JSON object"]
            more = f" (and the like in {count - 1} more cases)" if count > 1 else ""
            found.append(f"{first}{more}: it was passed over; print logs to standard error")
        return found

    def smallest(self, cause: Cause, seconds: float = 5.0) -> Case | None:
        """The smallest network found that shows a cause; None where it has no failing case with numbers."""
        failure = next((each for each in self._by_size() if each.id in set(cause.explains) and not each.unstable), None)
        if failure is None:
            return None
        try:
            return shrink(failure.case, lambda case: self._shows(case, cause, failure), seconds)
        except OURS:
            return failure.case  # it shows it, if not in the smallest way

    def _by_size(self) -> list[Failure]:
        return sorted(self.diagnostician.failures, key=lambda each: len(each.case.inputs) * len(each.actual))

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
        evidence = Evidence(judged.case, judged.actual, self.implementation.hello.dtype, self.settings.profile)
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
        """One more case, sent and judged; None where it cannot be: not supported, or too much for a witness."""
        if not_supported(case, self.implementation.hello) is not None:
            return None
        try:
            (judged,) = list(judge_whole([case], self.implementation, self.settings, keep_running=True))
        except OURS:
            return None
        return judged

    def _behaviours(self) -> list[behaviour.Behaviour]:
        hello = self.implementation.hello
        fresh = not hasattr(self.implementation, "_function")

        def ask(named: Sequence[tuple[str, Case]], *, anew: bool = False) -> Sequence[Mapping[Slot, Array] | None]:
            if anew:  # what runs is ended by an exchange that does not keep it running
                list(self.implementation.exchange(iter(())))
            return [self._plain(name, case) for name, case in named]

        return behaviour.behaviours(
            behaviour.probes(self._answered), ask, hello.dtype, self.settings.profile, fresh=fresh
        )

    def _plain(self, name: str, case: Case) -> Mapping[Slot, Array] | None:
        """What is replied to a case under another id."""
        dtype = self.implementation.hello.dtype
        data = case.request(dtype).replace(case.id.encode(), name.encode(), 1)
        (answer,) = list(self.implementation.exchange([(name, data)], keep_running=True))
        if answer.kind != "reply" or answer.reply is None:
            return None
        return compare(expect(case.rounded(dtype), dtype, self.settings.profile), answer.reply).actual


def _first_of(case: Case, first: Mismatch) -> tuple[str, str, str | None]:
    """What is wrong first, how, and in what kind of layer."""
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


def hinted(result: Result, case: Case | None = None) -> Result:
    """A result without any expected value: for graders, whose students are to find it themselves.

    With its ``case`` the place is told by the layer's name, and by all indexes of a unit.
    """
    hidden = [
        msgspec.structs.replace(each, expected=None, error=None, allowed=None, actual=None)
        for each in result.mismatches
    ]
    message = result.message
    if result.outcome == "mismatched":
        first = result.mismatches[0]
        message = f"the {first.quantity.replace('_', ' ')} is wrong: {_place(first)}"
        if case is not None and not case.network.is_chain:
            message = f"the {what_it_is(case, first)} is wrong: {in_words(case, first)}"
    return msgspec.structs.replace(result, mismatches=hidden, message=message, case=None, actual=None)


def _place(mismatch: object) -> str:
    names = ("layer", "neuron", "sample")
    parts = [f"{name} {value}" for name in names if (value := getattr(mismatch, name)) is not None]
    return ", ".join(parts) or "the whole network"


def failing(results: Iterable[Result]) -> list[Result]:
    """The results that make a run fail."""
    return [each for each in results if each.outcome in FAILURES]
