"""The exceptions of the package, in the order of the steps of a run.

Each step of a run has its own exception, so that code that catches one knows how far the run got:

1. The user says what to do: command line, configuration, options.      ``ConfigurationError``
2. The cases are read or generated and checked.                         ``CaseError``
3. The two witnesses (reference, torch) work each case out.             ``HarnessError``
4. The implementation is started and says hello.                        ``StartError``
5. A case is sent and its reply awaited. Failures here are *outcomes* of the case (crash, timeout,
   protocol error), not exceptions: an implementation can never raise an exception in the harness.
6. The results are written.                                             ``ResultsError``

Every error has a ``code``, a ``cause`` and a ``hint`` (see ``BackpropCheckError``). ``ERRORS.md`` lists the codes.
"""

from __future__ import annotations

import copy
from typing import Self


class BackpropCheckError(Exception):
    """An error that ends the command; its text is one clear sentence with a remedy.

    - ``code``: a short word for what went wrong, which does not change between versions.
    - ``cause``: where it went wrong, what was expected and what came.
    - ``hint``: what to do about it; empty where the cause says all there is to say.
    - ``stderr``: the end of what a failed program wrote to its standard error.
    - ``exit_code``: the exit code of the command line: 2 for an error of the user or the harness, 3 where the
      implementation could not be run at all.

    The text of the error is the cause and the hint, with ``joint`` between them, and then ``stderr``.
    """

    exit_code = 2

    def __init__(self, code: str, cause: str, hint: str = "", joint: str = ": ", stderr: str = "") -> None:
        super().__init__(code, cause, hint, joint, stderr)  # all of them: pickle calls the class with them again
        self.code, self.cause, self.hint, self.joint, self.stderr = code, cause, hint, joint, stderr

    @property
    def sentence(self) -> str:
        """The cause and the hint."""
        return f"{self.cause}{self.joint}{self.hint}" if self.hint else self.cause

    def __str__(self) -> str:
        return f"{self.sentence}\nits stderr ends with:\n{self.stderr}" if self.stderr else self.sentence

    def with_cause(self, cause: str) -> Self:
        """The same error, with another cause: the same problem seen from further away."""
        error = copy.copy(self)
        error.cause = cause
        return error


class ConfigurationError(BackpropCheckError):
    """A wrong command, option or configuration key."""


class CaseError(BackpropCheckError):
    """A case that is not valid.

    ``path`` is the place in the JSON (``$.network.layers[1].parameters.biases``), ``expected`` says what should be
    there, ``got`` what is there, ``source`` is the file; the cause is made of them.
    """

    def __init__(
        self, path: str, expected: str, got: str, source: str | None = None, code: str = "bad-case", hint: str = ""
    ) -> None:
        where = f"{source}: " if source else ""
        super().__init__(code, f"{where}at {_short(path)}: expected {_short(expected)}, got {_short(got)}", hint)
        self.path, self.expected, self.got, self.source = path, expected, got, source

    def of(self, source: str | None) -> CaseError:
        """The same error, in a case that came from ``source``."""
        return CaseError(self.path, self.expected, self.got, source, self.code, self.hint)

    def __reduce__(self) -> tuple[type[CaseError], tuple[object, ...]]:
        return CaseError, (self.path, self.expected, self.got, self.source, self.code, self.hint)


def _short(text: str) -> str:
    """Shorten a text to 1,000 characters: an untrusted file can hold a text of any length."""
    return text if len(text) <= 1000 else f"{text[:1000]}…"  # noqa: PLR2004 - a screen's worth


class NothingToDrawError(BackpropCheckError):
    """No case of a suite can be generated from what an implementation claims to support."""


class HarnessError(BackpropCheckError):
    """The witnesses disagree on a case by more than their bounds: our bug, not the implementation's."""


class StartError(BackpropCheckError):
    """The implementation could not be run at all: not found, no hello, wrong protocol."""

    exit_code = 3


class ResultsError(BackpropCheckError):
    """A results file that cannot be written or read."""


#: The hint where a file cannot be written.
ELSEWHERE = "choose another path, or make room"
