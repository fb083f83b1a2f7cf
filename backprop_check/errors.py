"""The exceptions of the package, in the order of the steps of a run.

Each step of a run has its own exception, so that code that catches one knows how far the run got:

1. The user says what to do: command line, configuration, options.      ``ConfigurationError``
2. The cases are read or generated and checked.                         ``CaseError``
3. The two witnesses (reference, torch) work each case out.             ``HarnessError``
4. The implementation is started and says hello.                        ``StartError``
5. A case is sent and its reply awaited. Failures here are *outcomes* of the case (crash, timeout,
   protocol error), not exceptions: an implementation can never raise an exception in the harness.
6. The results are written.                                             ``ResultsError``

``exit_code`` is the exit code of the command line: 2 for an error of the user or the harness, 3 where the
implementation could not be run at all.
"""

from __future__ import annotations


class BackpropCheckError(Exception):
    """An error that ends the command; its text is one clear sentence with a remedy."""

    exit_code = 2


class ConfigurationError(BackpropCheckError):
    """A wrong command, option or configuration key; the text says where, what was expected and what was given."""


class CaseError(BackpropCheckError):
    """A case that is not valid.

    ``path`` is the place in the JSON (``$.network.layers[1].parameters.biases``), ``expected`` says what should be
    there, ``got`` what is there.
    """

    def __init__(self, path: str, expected: str, got: str, source: str | None = None) -> None:
        self.path, self.expected, self.got, self.source = path, expected, got, source
        where = f"{source}: " if source else ""
        super().__init__(f"{where}at {_short(path)}: expected {_short(expected)}, got {_short(got)}")


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
