"""A named bug's page: what it is, the formula as it should be and as it was, how to tell it, the fix."""

from __future__ import annotations

from typing import Any

from backprop_check.errors import ConfigurationError
from backprop_check.explain.making import is_shipped


def bug_page(name: str) -> str | None:
    """The page of a bug of the catalogue; None where ``name`` is no bug but a case.

    Raises ``ConfigurationError`` for a code that the catalogue does not have.
    """
    if is_shipped(name):
        return None
    from backprop_check.diagnose.catalogue import find_bug  # noqa: PLC0415 - only where a bug is asked for

    try:
        bug: Any = find_bug(name)
    except LookupError:
        bug = None
    if bug is None and name.startswith("BP"):
        raise ConfigurationError(f"there is no bug {name} in the catalogue: `backprop-check bugs` lists them all")
    return None if bug is None else lay_out(bug)


def lay_out(bug: Any) -> str:
    """Title, sentence, the two formulas, and the rest that the catalogue knows, each under its heading."""
    lines = [f"{bug.code}  {bug.name}", "", f"  {bug.sentence}", "", f"  right:  {bug.right}", f"  wrong:  {bug.wrong}"]
    others = [
        ("What stays right", bug.stays_right),
        ("Easily confused with", bug.confused_with),
        ("The fix", bug.fix),
        ("Example", bug.example),
    ]
    for title, content in others:
        text = content if isinstance(content, str) else ", ".join(map(str, content or ()))
        if text:
            lines += ["", f"  {title}", *(f"    {line}".rstrip() for line in text.splitlines())]
    return "\n".join(lines)
