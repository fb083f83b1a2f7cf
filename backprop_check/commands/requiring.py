"""The requirements of ``--require`` and the configuration, and whether a run met them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_check.errors import ConfigurationError
from backprop_check.running.coverage import requirements

if TYPE_CHECKING:
    from backprop_check.cases.plan import Plan
    from backprop_check.commands.options import RunOptions
    from backprop_check.config import Configured
    from backprop_check.running.coverage import Requirement
    from backprop_check.running.judging import Run
    from backprop_check.running.results_file import Conclusion


def required_of(entry: Configured, options: RunOptions) -> tuple[Requirement, ...]:
    """The requirements of the configuration and the options together. Raises ``ConfigurationError``."""
    words = (*entry.require, *options.require)
    if words and options.exercise:
        raise ConfigurationError("exercise-and-require", "--exercise has stages of its own", "leave out --require")
    return requirements(words)


def complete_with(conclusion: Conclusion, run: Run, plan: Plan) -> None:
    """Add to a conclusion which suites have no cases, and which requirements are unmet."""
    conclusion.notes += plan.notes()
    conclusion.unmet = run.coverage.unmet(plan.within)
