"""``backprop-check explain``: a case's mathematics with its numbers, or a named bug's page."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backprop_check.commands.options import opened, opening, opening_of
from backprop_check.errors import ELSEWHERE, ConfigurationError

if TYPE_CHECKING:
    from backprop_check.explain.explanation import Explanation
    from backprop_check.explain.making import Found
    from backprop_check.protocol import Opening

_FORMATS = ("text", "markdown", "html", "json")
_ENDINGS = {".md": "markdown", ".html": "html", ".htm": "html", ".json": "json"}
_STYLES: dict[str, dict[str, Any]] = {
    "title": {"bold": True},
    "heading": {"bold": True, "fg": "cyan"},
    "place": {"bold": True},
    "note": {"dim": True},
    "right": {"fg": "green"},
    "wrong": {"fg": "red", "bold": True},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """The options of ``explain``, as its ``--help`` describes them."""

    opening: Opening
    neuron: str | None
    weight: str | None
    full: bool
    sample: int
    steps: int | None
    digits: int
    form: str
    impl: str | None
    network: str | None
    activation: str
    loss: str
    samples: int
    seed: int


@click.command()
@click.argument("case", required=False)
@click.option("--neuron", metavar="LAYER:N", help="Only this neuron: hidden1:0, conv1:2,1,0, input:0.")
@click.option(
    "--weight", metavar="N", help="Of the gradients, show only this weight: N is an input (or 2,0,1,1; bias:2)."
)
@click.option("--full", is_flag=True, help="Show every step and number (by default only some of many similar ones).")
@click.option("--sample", default=0, show_default=True, type=click.IntRange(min=0), help="The sample to show.")
@click.option(
    "--steps", type=click.IntRange(min=1), help="Work out this many updates (default: as many as the case has)."
)
@click.option("--digits", default=6, show_default=True, type=click.IntRange(1, 17), help="Significant digits.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="Default: from the file ending of --output, else text."
)
@click.option(
    "--output", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the explanation to this file."
)
@click.option("--impl", help="An implementation: show its numbers next to the right ones.")
@click.option("--network", help="Make up a network: the inputs and the units of each layer, such as 2-3-1.")
@click.option("--activation", default="sigmoid", show_default=True, help="Activation of the made-up network.")
@click.option("--loss", default="half_squared_error", show_default=True, help="Loss of the made-up network.")
@click.option(
    "--samples", default=1, show_default=True, type=click.IntRange(1, 64), help="Samples for the made-up network."
)
@click.option("--seed", default=0, show_default=True, help="Seed of the generated or made-up case.")
@opening
def command(case: str | None, path: Path | None, **parameters: Any) -> None:
    """Work out CASE step by step: each formula, the numbers inserted, the value.

    CASE is the name of a published case (mazur-2x2x2), the id of a case (with its --seed), a file, or a bug's code or
    name (BP107) for that bug's page. Without CASE, --network makes up a network.

    \b
    backprop-check explain mazur-2x2x2 --neuron hidden1:0
    backprop-check explain --network 2-3-1 --activation tanh
    backprop-check explain mazur-2x2x2 --impl "dart bin/port.dart"
    backprop-check explain BP107
    """  # noqa: D301 - \b is click's
    if parameters["form"] is None:
        parameters["form"] = _ENDINGS.get(path.suffix.casefold() if path else "", "text")
    asked = _Asked(opening=opening_of(parameters), **parameters)
    if (case is None) == (asked.network is None):
        cause = "expected a CASE (such as mazur-2x2x2) or --network (such as 2-3-1)"
        raise ConfigurationError("case-or-network", cause if case is None else f"{cause}, not both")
    bug = None if case is None else _bug_page(case, asked.form, asked.digits)
    if bug is not None:
        _write(bug, path)
        return
    text, failed = _explained(case, asked, to_file=path is not None)
    _write(text, path)
    sys.exit(1 if failed else 0)


def _bug_page(name: str, form: str, digits: int) -> str | None:
    """The page of a named bug, where ``name`` is a code or a name of the catalogue: HTML, or text for all else."""
    if not re.fullmatch(r"[Bb][Pp]\d{3}|[a-z]+(-[a-z0-9]+)+", name):
        return None
    if form == "html":
        from backprop_check.explain.bug_html import bug_html  # noqa: PLC0415

        return bug_html(name, digits)
    from backprop_check.explain.bug import bug_page  # noqa: PLC0415

    return bug_page(name, digits)


def _explained(case: str | None, asked: _Asked, *, to_file: bool) -> tuple[str, bool]:
    from backprop_check.explain.explanation import with_comparison  # noqa: PLC0415
    from backprop_check.explain.making import Found, find_case, made_up  # noqa: PLC0415

    if asked.network is not None:
        made = made_up(asked.network, asked.activation, asked.loss, samples=asked.samples, seed=asked.seed)
        found = Found(made)
    else:
        assert case is not None
        found = find_case(case, asked.seed)
    if asked.steps is not None:
        found = found.with_steps(asked.steps)
    if asked.impl is None:
        return _formatted(_explanation(found, asked), asked, to_file=to_file), False
    with opened(asked.impl, asked.opening) as implementation:
        rounded = found.rounded(implementation.hello.dtype)
        explanation = with_comparison(_explanation(rounded, asked), rounded.case, implementation)
    judged = explanation.judged
    failed = judged is not None and (judged.failed or judged.first is not None)
    return _formatted(explanation, asked, to_file=to_file), failed


def _explanation(found: Found, asked: _Asked) -> Explanation:
    """The explanation of the neuron, weight and sample that were asked for."""
    from backprop_check.explain.explanation import explain_case  # noqa: PLC0415

    return explain_case(
        found,
        neuron=asked.neuron,
        weight=asked.weight,
        sample=asked.sample,
        digits=asked.digits,
        everything=asked.full or asked.form == "json",
    )


def _formatted(explanation: Explanation, asked: _Asked, *, to_file: bool) -> str:
    if asked.form == "html":
        from backprop_check.explain.page import as_html  # noqa: PLC0415

        return as_html(explanation, asked.digits)
    from backprop_check.explain.layout import as_json, as_markdown, text_lines  # noqa: PLC0415
    from backprop_check.explain.shorter import shortened  # noqa: PLC0415

    if asked.form == "json":
        return as_json(explanation)
    if asked.form == "markdown":
        return as_markdown(explanation, asked.digits)
    styled = not to_file and not os.environ.get("NO_COLOR")
    full = to_file or asked.full or asked.neuron is not None or asked.weight is not None
    return "\n".join(
        click.style(line.text, **_STYLES.get(line.kind, {})) if styled else line.text
        for line in text_lines(explanation, asked.digits, None if full else shortened(explanation))
    )


def _write(text: str, path: Path | None) -> None:
    text = text.rstrip("\n")
    if path is None:
        click.echo(text)  # echo removes styles where the output is not a terminal
        return
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        cause = f"--output {path}: cannot be written: {error.strerror}"
        raise ConfigurationError("explanation-not-written", cause, ELSEWHERE, "; ") from None
    click.echo(f"written: {path}")
