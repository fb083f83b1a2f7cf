"""How a bug is planted: a copy of a right port in which a few places of its text are replaced.

Nothing here depends on how backprop-check finds or names a bug: the wrong code is what a programmer would
write by mistake, in the port's own code.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"
PYTHON_PORT = PORTS / "python"
PORT_FILES = tuple(sorted(path.name for path in PYTHON_PORT.glob("*.py")))
CHAIN_FILES = ("mathematics.py", "activations.py", "losses.py", "network.py", "backprop.py")

#: With this argument a written port reports gradients and nothing else.
GRADIENTS_ONLY = "--gradients-only"

Case = dict[str, Any]


class Edit(NamedTuple):
    """In ``file``, ``old`` (which occurs there exactly once) becomes ``new``."""

    file: str
    old: str
    new: str


class Where(NamedTuple):
    """Where the first wrong value must be.

    ``layer`` is ``output``, ``hidden`` (all but the output), ``first``, ``later`` (all but the first), ``any``,
    or ``none`` (the loss belongs to no layer).
    """

    layer: str
    quantities: tuple[str, ...]
    neuron: int | None = None

    def fits(self, first_wrong: dict[str, Any], layers: int) -> bool:
        """Whether ``first_wrong`` of a results file is such a place."""
        if first_wrong["quantity"] not in self.quantities:
            return False
        if self.neuron is not None and first_wrong["neuron"] != self.neuron:
            return False
        layer = first_wrong["layer"]
        if layer is None or self.layer == "none":
            return layer is None and self.layer in ("none", "any")
        fits: dict[str, bool] = {
            "output": layer == layers - 1,
            "hidden": layer < layers - 1,
            "first": layer == 0,
            "later": layer > 0,
            "any": True,
        }
        return fits[self.layer]


@dataclass(frozen=True)
class Planted:
    """A bug in the port's own code.

    ``code`` is the catalogue's (two codes joined by + where two bugs are planted at once), ``also`` the codes that no
    case can tell apart from it. A case that does not satisfy ``needs`` cannot show the bug, and must pass. A bug
    that is not ``repeatable`` gives other numbers in every run.
    """

    code: str
    name: str
    edits: tuple[Edit, ...]
    where: tuple[Where, ...]
    needs: Callable[[Case], bool] = bool  # by default any case
    also: tuple[str, ...] = ()
    cases: int = 20
    suite: str = "generated"
    options: tuple[str, ...] = ()
    repeatable: bool = True

    @property
    def id(self) -> str:
        """``BP102-hidden-delta-without-derivative``: for ``-k`` and for readers."""
        words = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return f"{self.code}-{words}" if self.code else words

    @property
    def codes(self) -> list[str]:
        """The code, or both codes."""
        return self.code.split("+") if self.code else []


def network(old: str, new: str) -> Edit:
    """An edit of the port's code for dense chains, in whichever of its files the text occurs."""
    found = [name for name in CHAIN_FILES if old in plain((PYTHON_PORT / name).read_text(encoding="utf-8"))]
    if len(found) != 1:
        msg = f"this stands in {found or 'none'} of {CHAIN_FILES}:\n{old}"
        raise ValueError(msg)
    return Edit(found[0], old, new)


def optimizers(old: str, new: str) -> Edit:
    """An edit of optimizers.py."""
    return Edit("optimizers.py", old, new)


def port(old: str, new: str) -> Edit:
    """An edit of port.py."""
    return Edit("port.py", old, new)


def at(layer: str, *quantities: str, neuron: int | None = None) -> tuple[Where, ...]:
    """A place as a tuple of one."""
    return (Where(layer, quantities, neuron),)


def pair(first: Planted, second: Planted, name: str) -> Planted:
    """Both bugs at once; either may be the first to show."""
    return Planted(
        code=f"{first.code}+{second.code}",
        name=name,
        edits=first.edits + second.edits,
        where=first.where + second.where,
        needs=lambda case: first.needs(case) or second.needs(case),
        cases=max(first.cases, second.cases),
    )


def restricted(planted: Planted, name: str, **changes: Any) -> Planted:
    """The same code, in one layer or neuron only."""
    return dataclasses.replace(planted, name=name, **changes)


# ---- writing -------------------------------------------------------------------------------------

#: The one edit that every written port has: the option to report gradients alone.
_OPTION = (
    port("        return graph_backprop(request)\n", "        return reported(graph_backprop(request))\n"),
    port(
        "def hello(request",
        '''def reported(reply: dict[str, Any]) -> dict[str, Any]:
    """Give the reply, or, where asked for by an argument, the gradients alone."""
    if "--gradients-only" not in sys.argv or "layers" not in reply:
        return reply
    layers = [{"gradients": layer["gradients"]} if "gradients" in layer else {} for layer in reply["layers"]]
    return {"id": reply["id"], "layers": layers}


def hello(request''',
    ),
)


def replaced(files: dict[str, str], edits: Iterable[Edit], what: str) -> dict[str, str]:
    """The files after the edits. Raises ``ValueError`` where a text does not occur exactly once."""
    files = dict(files)
    for edit in edits:
        count = files[edit.file].count(edit.old)
        if count != 1:
            msg = f"{what}: in {edit.file} this stands {count} times instead of once:\n{edit.old}"
            raise ValueError(msg)
        files[edit.file] = files[edit.file].replace(edit.old, edit.new)
    return files


def plain(text: str) -> str:
    """A port's text without the comments that mark the parts an exercise leaves out."""
    return "".join(line for line in text.splitlines(keepends=True) if line.split()[1:2] != ["EXERCISE"])


def sources(planted: Planted | None) -> dict[str, str]:
    """The Python port's files with the bug in them (None: without any bug)."""
    files = {name: plain((PYTHON_PORT / name).read_text(encoding="utf-8")) for name in PORT_FILES}
    edits = planted.edits if planted else ()
    return replaced(files, (*_OPTION, *edits), planted.id if planted else "the right port")


def write(planted: Planted | None, folder: Path) -> Path:
    """Write the broken port (None: the right one) and give the path of its program."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sources(planted).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "port.py"


# ---- conditions under which a case can show a bug -------------------------------------------------


def layers(case: Case) -> list[dict[str, Any]]:
    """The case's layers."""
    found: list[dict[str, Any]] = case["network"]["layers"]
    return found


def activations(case: Case) -> list[str]:
    """The activation of every layer."""
    return [layer["activation"] for layer in layers(case)]


def hidden(case: Case) -> list[str]:
    """The activations of the hidden layers."""
    return activations(case)[:-1]


def widths(case: Case) -> list[int]:
    """Inputs, then the units of every layer."""
    return [case["network"]["inputs"], *(layer["units"] for layer in layers(case))]


def loss(case: Case) -> str:
    """The kind of loss."""
    kind: str = case["loss"]["kind"]
    return kind


def batch(case: Case) -> int:
    """The number of samples."""
    return len(case["inputs"])


def many(case: Case) -> bool:
    """Whether there is more than one sample."""
    return batch(case) > 1


def mean(case: Case) -> bool:
    """Whether the loss is the mean of several samples."""
    return many(case) and case["reduction"] == "mean"


def total(case: Case) -> bool:
    """Whether the loss is the sum of several samples."""
    return many(case) and case["reduction"] == "sum"


def deep(case: Case) -> bool:
    """Whether there is a hidden layer."""
    return len(layers(case)) > 1


def bent(case: Case) -> bool:
    """Whether a hidden layer has an activation with a derivative other than 1."""
    return any(activation != "identity" for activation in hidden(case))


def updates(case: Case) -> bool:
    """Whether updated parameters are asked for."""
    return "optimizer" in case


def again(case: Case) -> bool:
    """Whether there is more than one step."""
    return updates(case) and case["steps"] > 1


def has(*names: str) -> Callable[[Case], bool]:
    """The condition that a layer has one of these activations."""
    return lambda case: any(name in names for name in activations(case))


def loses(*names: str) -> Callable[[Case], bool]:
    """The condition that the loss is one of these."""
    return lambda case: loss(case) in names


def one_step(case: Case) -> bool:
    """Whether the port computes δ of this output activation and loss in one step (as p − t)."""
    return (activations(case)[-1], loss(case)) in (("sigmoid", "binary_cross_entropy"), ("softmax", "cross_entropy"))


def several_outputs(case: Case) -> bool:
    """Whether there is more than one output neuron."""
    return widths(case)[-1] > 1


def both(*conditions: Callable[[Case], bool]) -> Callable[[Case], bool]:
    """The conjunction of the conditions."""
    return lambda case: all(condition(case) for condition in conditions)


def by_id(bugs: Sequence[Planted]) -> dict[str, Planted]:
    """The bugs by their ids, which must differ."""
    found = {bug.id: bug for bug in bugs}
    if len(found) != len(bugs):
        raise ValueError("two planted bugs have the same id")
    return found
