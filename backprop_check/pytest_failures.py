"""How pytest shows a failing case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _pytest._code.code import TerminalRepr

if TYPE_CHECKING:
    from _pytest._io import TerminalWriter

    from backprop_check.errors import BackpropCheckError
    from backprop_check.running.one_case import Judged


class Said:
    """A failure as one line."""

    def __init__(self, message: str) -> None:
        """``message`` is also shown in the short summary."""
        self.message = message

    def __str__(self) -> str:
        return self.message


class FailureText(TerminalRepr):
    """A failing case in full; with ``--tb=line`` only its line, which pytest writes itself."""

    def __init__(self, text: str, message: str) -> None:
        """``text`` is empty with ``--tb=line``."""
        self.text, self.reprcrash = text, Said(message)

    def __str__(self) -> str:
        return self.text or self.reprcrash.message  # how it travels from a worker of xdist

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write it."""
        if self.text:
            tw.line(self.text)


def error_text(error: BackpropCheckError) -> str:
    """Why a case could not be judged: the cause, what to do about it, and the code of the error."""
    lines = [error.cause, f"hint: {error.hint}" if error.hint else "", f"error code: {error.code}"]
    lines += ["its stderr ends with:", error.stderr] if error.stderr else []
    return "\n".join(filter(None, lines))


class CaseFailure(Exception):  # noqa: N818 - it is a verdict, not an error
    """A case that failed; its text is the terminal's."""

    def __init__(self, judged: Judged) -> None:
        """Keep what was judged."""
        self.judged = judged
        super().__init__(f"{judged.result.outcome}: {judged.result.message}")
