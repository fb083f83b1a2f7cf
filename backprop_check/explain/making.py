"""Finds the case that the user means, by a published name, a case's id or a file; or makes a network of a given
shape.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import random
import re
from pathlib import Path
from typing import Any

import msgspec

from backprop_check.case.limits import read_within
from backprop_check.case.network import NEEDS_OUTPUT, Case
from backprop_check.cases.families import family_case
from backprop_check.cases.files import LARGEST, SUITES, CaseFile, check_work, read_case_file, suite_files
from backprop_check.cases.generate import generated_case
from backprop_check.cases.training import training_case
from backprop_check.errors import CaseError, ConfigurationError
from backprop_check.kinds import FAMILIES

_GENERATED = re.compile(r"(?P<name>.+-s(?P<index>\d{4,}))(?:-(?P<hash>[0-9a-f]{8}))?")


class Found(msgspec.Struct, frozen=True):
    """A case, with the title, source and erratum of a published one."""

    case: Case
    title: str = ""
    source: str = ""
    erratum: str | None = None

    def with_steps(self, steps: int) -> Found:
        """The same case with this number of updates. Raises ``ConfigurationError`` where the case has no optimizer."""
        if self.case.optimizer is None:
            cause = f"{self.case.name} has no optimizer, so nothing is updated"
            raise ConfigurationError("no-optimizer", cause, "leave out --steps")
        optimizer = self.case.optimizer.over(steps)
        return msgspec.structs.replace(self, case=msgspec.structs.replace(self.case, steps=steps, optimizer=optimizer))

    def rounded(self, dtype: str) -> Found:
        """The same case with its numbers rounded to ``dtype``."""
        return msgspec.structs.replace(self, case=self.case.rounded(dtype))


def find_case(text: str, seed: int = 0) -> Found:
    """The case called ``text``: a file, the name of a shipped case, or the id of a generated one.

    Raises ``ConfigurationError`` where there is none, with similar names; ``CaseError`` for an invalid file.
    """
    path = Path(text)
    if path.suffix == ".json" or path.is_file():
        return _from_file(path)
    shipped = _shipped()
    matches = [name for name, file in shipped.items() if text in (name, file.case.id)]
    matches = matches or [name for name in shipped if name.startswith(text)]
    if len(matches) == 1:
        file = shipped[matches[0]]
        return Found(file.case, file.title, file.source, file.erratum)
    if len(matches) > 1:
        cause = f"the names of several cases begin with '{text}': {', '.join(matches)}"
        raise ConfigurationError("ambiguous-case", cause, "give more of the name", "; ")
    generated = _GENERATED.fullmatch(text)
    if generated:
        return Found(_generated(text, generated, seed))
    close = difflib.get_close_matches(text, shipped, 3, 0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"the published ones are {', '.join(shipped)}"
    cause = f"there is no case '{text}': expected a published name, the id of a generated case, or a file"
    raise ConfigurationError("unknown-case", cause, hint, "; ")


@functools.cache
def _shipped() -> dict[str, CaseFile]:
    return {file.case.name: file for suite in SUITES if suite != "generated" for file in suite_files(suite)}


def is_shipped(text: str) -> bool:
    """Whether ``text`` is the name of a shipped case, or the beginning of one."""
    return any(name.startswith(text) for name in _shipped())


def _from_file(path: Path) -> Found:
    try:
        data = msgspec.json.decode(read_within(path, LARGEST), type=dict[str, Any])
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        got = str(error) or type(error).__name__
        raise CaseError("$", "a case file (JSON)", got, str(path), code="bad-case-file") from None
    if "case" in data:
        file = read_case_file(path)
        return Found(file.case, file.title, file.source, file.erratum)
    content = {key: value for key, value in data.items() if key not in ("type", "id", "schema")}
    case = Case.from_dict(content, str(path))
    check_work(case, str(path))
    return Found(case)


def _generated(text: str, parts: re.Match[str], seed: int) -> Case:
    index = int(parts["index"])
    family = next((family for family in FAMILIES if text.startswith(f"{family}-")), None)
    case = generated_case(index, seed) if family is None else family_case(family, index, seed)
    if family is None and case.name != parts["name"]:  # those of training are named for their optimizer
        other = training_case(index, seed)
        case = other if other.name == parts["name"] else case
    if case.name != parts["name"] or (parts["hash"] and case.id != text):
        cause = f"with seed {seed}, generated case {index} is {case.id}, not {text}"
        raise ConfigurationError("other-seed", cause, "give the --seed it came from")
    return case


def made_up(
    network: str,
    activation: str = "sigmoid",
    loss: str = "half_squared_error",
    *,
    output: str | None = None,
    samples: int = 1,
    reduction: str = "mean",
    rate: float | None = 0.5,
    seed: int = 0,
) -> Case:
    """A dense network of the shape ``2-3-1``, with numbers of few digits; the same arguments give the same case.

    By default the output layer has an activation that suits the loss. Raises ``ConfigurationError`` for a shape that is
    not valid or too large, ``CaseError`` for an unknown activation or loss.
    """
    widths = [int(part) for part in re.split(r"[-x]", network) if part.isascii() and part.isdigit()]
    if len(widths) != len(re.split(r"[-x]", network)) or len(widths) < 2 or min(widths) < 1:  # noqa: PLR2004
        cause = f"--network {network}: expected the inputs and the units of each layer, such as 2-3-1"
        raise ConfigurationError("bad-network", cause)
    if max(widths) > 64 or len(widths) > 16 or not 1 <= samples <= 64:  # noqa: PLR2004 - to be read by people
        cause = "a network to be read has at most 16 layers of 64 neurons, and at most 64 samples"
        raise ConfigurationError("network-too-large", cause)
    if output is None:
        needed = NEEDS_OUTPUT.get(loss, (activation,))
        output = activation if activation in needed else needed[0]
    draw = random.Random(f"{network}:{activation}:{loss}:{seed}").random  # noqa: S311 - not for secrets

    def number(low: float, high: float) -> float:
        return round(low + (high - low) * draw(), 2) or 0.1

    layers = [
        {
            "kind": "dense",
            "units": units,
            "activation": output if position == len(widths) - 2 else activation,
            "parameters": {
                "weights": [[number(-0.9, 0.9) for _ in range(fan_in)] for _ in range(units)],
                "biases": [number(-0.5, 0.5) for _ in range(units)],
            },
        }
        for position, (fan_in, units) in enumerate(itertools.pairwise(widths))
    ]
    case: dict[str, Any] = {
        "name": f"made-up-{'x'.join(map(str, widths))}",
        "network": {"inputs": widths[0], "layers": layers},
        "loss": {"kind": loss},
        "reduction": reduction,
        "inputs": [[number(-1, 1) for _ in range(widths[0])] for _ in range(samples)],
        "targets": [_target(loss, widths[-1], draw) for _ in range(samples)],
    }
    if rate is not None:
        case["optimizer"] = {"kind": "sgd", "learning_rate": rate}
    return Case.from_dict(case)


def _target(loss: str, width: int, draw: Any) -> list[float]:
    hot = int(draw() * width)
    if loss in ("cross_entropy", "negative_log_likelihood"):
        return [1.0 if k == hot else 0.0 for k in range(width)]
    if loss in ("hinge", "binary_cross_entropy"):
        low = -1.0 if loss == "hinge" else 0.0
        return [1.0 if k == hot else low for k in range(width)]
    return [round(draw(), 2) for _ in range(width)]
