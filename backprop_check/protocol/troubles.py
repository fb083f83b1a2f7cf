"""Messages about cases that failed: what went wrong, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    from backprop_check.protocol.flight import Case
    from backprop_check.protocol.process import Process

LOOP: Final = "a port must answer line after line until its standard input ends (--one-shot restarts it for each case)"


def crash_message(process: Process, how: str, case: Case, half: bytes, *, one_shot: bool) -> str:
    """The message that the process is gone: how it ended, and the last line of its stderr."""
    message = f"the process {how} before it replied"
    if half:
        message += f", in the middle of a line ({one_line(half[:400].decode('utf-8', 'replace'), 80)})"
    if process.memory_used:
        return f"{message}; does it keep data of every case? If it needs that much memory, raise the limit (--memory)"
    said = [text for text in process.stderr_tail(case.log).splitlines() if text.strip()]
    if said:
        message += f"; the last line on stderr: {one_line(said[-1].strip())}"
    elif process.returncode == 0 and not one_shot:
        message += f"; {LOOP}"
    return message


def timeout_message(process: Process | None, case: Case, timeout: float, unanswered: str) -> str:
    """The message that no reply came, with a hint at the cause; ``unanswered`` is the hint where none is known."""
    message = f"no reply within {timeout:g} s, so the process was ended"
    if case.other_id is not None:
        return f'{message}; a reply came with the id "{case.other_id}": a reply must repeat its request\'s id'
    if process is not None and process.deaf:
        return f"{message}; it had closed its standard input"
    if case.notes.noise:
        return f"{message}; the lines on stdout were not JSON objects"
    return f"{message}; {unanswered}"
