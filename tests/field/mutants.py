"""Random edits of the lines of ``matrix_port``, written as a programmer would mistype them.

The search for formulas does not know this file, nor this file the search: an edit is a text that replaces a text.
"""

# ruff: noqa: E501 - a table of texts
from __future__ import annotations

import random
import re

from matrix_port import STAGES

#: What may stand for a name, by the stage; most have the same shape, as mistakes that run without an error have.
INSTEAD = {
    "z": {"X": ["X * X", "abs(X)", "-X"], "B": ["-B", "2 * B", "0 * B", "B[0]", "B.mean()", "1.0"], "W": ["abs(W)", "-W"]},
    "a": {"phi(Z)": ["phi(-Z)", "phi(phi(Z))", "Z", "sigmoid(Z)", "np.tanh(Z)", "phi(Z / 2)", "phi(2 * Z)", "1 - phi(Z)"]},
    "output delta": {
        "slope(Z)": ["1", "slope(A)", "A * (1 - A)", "A", "slope(Z) ** 2", "1 / slope(Z)", "(1 - A * A)", "phi(Z)", "Z"],
        "E": ["(A - T)", "-E", "abs(E)", "E / N", "E * N", "2 * E", "E / 2", "A", "T"],
    },
    "hidden delta": {
        "slope(Z)": ["1", "slope(A)", "A * (1 - A)", "A", "slope(Z) ** 2", "1 / slope(Z)", "(1 - A * A)", "phi(Z)", "Z"],
        "E": ["-E", "abs(E)", "E / N", "2 * E", "E / 2"],
    },
    "sent back": {
        "D1": ["E1", "A1", "Z1", "-D1", "abs(D1)", "D1 * slope1(Z1)", "2 * D1", "D1 / N", "D1 / D1.shape[1]"],
        "W1": ["abs(W1)", "W1 ** 2", "np.ones_like(W1)", "-W1"],
    },
    "weight gradient": {
        "D": ["E", "A", "Z", "abs(D)", "(D * slope(Z))", "D[:1]", "D[-1:]", "2 * D", "(D / N)", "(D * N)", "(D ** 2)"],
        "X": ["(X * X)", "abs(X)", "np.ones_like(X)", "X[:1]", "X[-1:]", "-X"],
    },
    "bias gradient": {
        "D": ["E", "A", "Z", "abs(D)", "(D * slope(Z))", "(2 * D)", "(D / N)", "(D * N)", "(D ** 2)", "(D * A)"],
        "sum(axis=0)": ["mean(axis=0)", "max(axis=0)", "sum(axis=0) * 0", "min(axis=0)"],
    },
}  # fmt: skip


def mutant(seed: int) -> dict[str, str]:
    """One random edit: the stage and its line."""
    draw = random.Random(f"mutant {seed}")  # noqa: S311 - the same edits every time
    while True:
        stage = draw.choice(list(INSTEAD))
        name = draw.choice(list(INSTEAD[stage]))
        instead = draw.choice(INSTEAD[stage][name])
        line = STAGES[stage]
        found = re.sub(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z0-9])", instead, line, count=1)
        for some in ("[:1]", "[-1:]"):
            if some in found and stage == "weight gradient":
                found = f"D{some}.T @ X{some}"
        if found != line:
            return {stage: found}


def pair(seed: int) -> dict[str, str]:
    """Two random edits in two stages."""
    first, number = mutant(2 * seed), 0
    while True:
        second = mutant(100_000 + 1000 * seed + number)
        if second.keys() != first.keys():
            return first | second
        number += 1
