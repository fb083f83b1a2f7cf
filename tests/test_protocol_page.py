"""The page for port writers: its conversation is the Python port's, its claims are the schema's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from backprop_check.case.network import Case
from backprop_check.explain.starting import ports
from backprop_check.protocol import hello_request, json_schema

PORTS = Path(__file__).parents[1] / "backprop_check" / "ports"
PAGE = (PORTS / "PROTOCOL.md").read_text(encoding="utf-8")
TRANSCRIPT = re.findall(r"```transcript\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()
REQUESTS = [line.removeprefix("→ ") for line in TRANSCRIPT if line.startswith("→ ")]
REPLIES = [json.loads(line.removeprefix("← ")) for line in TRANSCRIPT if line.startswith("← ")]


def alike(one: Any, two: Any) -> bool:
    """Equal, except for the last digit, which depends on the mathematics library."""
    if isinstance(one, dict):
        return isinstance(two, dict) and set(one) == set(two) and all(alike(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return isinstance(two, list) and len(one) == len(two) and all(map(alike, one, two))
    if isinstance(one, float) and isinstance(two, float):
        return one == two or abs(one - two) <= 4e-15 * abs(one)
    return bool(one == two)


def test_the_conversation_is_that_of_the_python_port() -> None:
    """Line by line; the version of Python and the traceback depend on the machine."""
    command = [sys.executable, str(PORTS / "python" / "port.py")]
    done = subprocess.run(
        command,
        input="\n".join(REQUESTS) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        encoding="utf-8",
    )
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(REQUESTS) == len(replies) == len(REPLIES) == 4
    for got, printed in zip(replies, REPLIES, strict=True):
        got.pop("traceback", None)
        if "language" in got:
            got["language"] = got["language"].split()[0]
        assert alike(got, printed), (got, printed)


def test_the_conversation_is_valid() -> None:
    """Valid against the JSON Schema; the first line is the one that the harness sends, and the case can be read."""
    validator = jsonschema.Draft202012Validator(json_schema())
    for message in [json.loads(REQUESTS[0]), json.loads(REQUESTS[1]), *REPLIES]:
        validator.validate(message)
    assert json.loads(REQUESTS[0]) == json.loads(hello_request("0.1.0"))
    case = json.loads(REQUESTS[1])
    Case.from_dict({key: value for key, value in case.items() if key not in ("type", "id")})


@pytest.mark.parametrize("language", sorted(ports()))
def test_every_language_has_its_pitfalls(language: str) -> None:
    """The table lists each port that ships."""
    headings = re.findall(r"^\| ([A-Z][\w+#, ]*?) \|", PAGE, re.MULTILINE)
    named = {name.strip() for heading in headings for name in heading.split(",")}
    assert ports()[language].title in named


def test_the_page_names_what_there_is() -> None:
    """The schema is where the page says, and the commands exist."""
    from backprop_check.cli import COMMANDS  # noqa: PLC0415

    assert (PORTS.parent / "protocol" / "schema.json").is_file()
    for command in re.findall(r"backprop-check ([a-z]+) ", PAGE):
        assert command in COMMANDS
