"""Smaller chains of dense layers: hypothesis draws reductions of the case at hand while the verdict holds.

What is drawn: how many layers, neurons and samples are kept, how round the numbers become, which activations turn
simple. Everything drawn small is simple, so that shrinking the draw shrinks the network.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import hypothesis
import msgspec
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from backprop_check.cases.generate import is_clear_of_kinks
from backprop_check.cases.training import is_clear
from backprop_check.diagnose.fitting import ROUND
from backprop_check.errors import CaseError
from backprop_check.network import NEEDS_OUTPUT, Case

if TYPE_CHECKING:
    from collections.abc import Callable

#: So many tries, at most.
_TRIES = 400


def weight(case: Case) -> tuple[int, int, int, int]:
    """Smaller is simpler: neurons, then samples, then everything written out."""
    return (
        sum(case.network.widths),
        case.network.input_units + len(case.inputs),
        case.steps,
        len(case.request()),
    )


def reduce(case: Case, still: Callable[[Case | None], bool]) -> None:
    """Ask ``still`` for one reduction after the other, in the direction in which it holds."""
    start = next((simple for simple in _first_tries(case) if simple is not None and still(simple)), case)
    settings = hypothesis.settings(
        max_examples=_TRIES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with contextlib.suppress(NoSuchExample):
        hypothesis.find(_reductions(start), still, settings=settings)


def _first_tries(case: Case) -> list[Case | None]:
    """The boldest reductions, smallest first: one neuron, then 1-1-1, 1-2-1 and so on."""
    tries = []
    output = case.network.layers[-1]
    least = 2 if output.activation in ("softmax", "log_softmax") else 1
    kinds = [layer.activation for layer in case.network.layers[:-1]]
    for hidden in ([], [1], [2], [1, 1]):
        if len(hidden) <= len(kinds):
            own = kinds[len(kinds) - len(hidden) :]
            tries += [_reduced(case, [1, *hidden, least], n, min(case.steps, 2), 1, own) for n in (1, 2)]
    return tries


@st.composite
def _reductions(draw: st.DrawFn, case: Case) -> Case | None:
    layers = case.network.layers
    kept = draw(st.integers(0, len(layers) - 1))
    least = 2 if layers[-1].activation in ("softmax", "log_softmax") else 1
    widths = [draw(st.integers(1, case.network.inputs))]
    widths += [draw(st.integers(1, max(layer.units for layer in layers))) for _ in range(kept)]
    widths.append(draw(st.integers(least, max(least, layers[-1].units))))
    samples = draw(st.integers(1, len(case.inputs)))
    steps = draw(st.integers(1, case.steps))
    digits = draw(st.integers(0, 3))
    kinds = [layer.activation for layer in layers[:-1]][len(layers) - 1 - kept :]
    simple = draw(st.booleans())
    return _reduced(case, widths, samples, steps, digits, ["identity"] * kept if simple else kinds)


def _reduced(case: Case, widths: list[int], samples: int, steps: int, digits: int, kinds: list[str]) -> Case | None:
    """A case of these widths with the numbers of ``case`` (0: round ones); None where that is no case."""
    source = case.network.layers
    hidden = list(source[:-1])[len(source) - 1 - (len(widths) - 2) :] if len(widths) > 2 else []  # noqa: PLR2004
    chosen = [*hidden, source[-1]]
    numbers = iter(ROUND * 200)

    def number(x: float) -> float:
        return next(numbers) if digits == 0 else (round(x, digits) or 10.0**-digits)

    layers: list[dict[str, Any]] = []
    for position, layer in enumerate(chosen):
        units, fan_in = widths[position + 1], widths[position]
        rows = layer.parameters.weights
        kind = layer.activation if position == len(chosen) - 1 else kinds[position]
        made: dict[str, Any] = {
            "kind": "dense",
            "units": units,
            "activation": kind,
            "parameters": {
                "weights": [
                    [number(rows[j % len(rows)][i % len(rows[0])]) for i in range(fan_in)] for j in range(units)
                ],
                "biases": [number(layer.parameters.biases[j % len(rows)]) for j in range(units)],
            },
        }
        if layer.alpha is not None and kind == layer.activation:
            made["alpha"] = layer.alpha
        layers.append(made)
    body: dict[str, Any] = {
        "name": f"small-{'x'.join(map(str, widths))}",
        "network": {"inputs": widths[0], "layers": layers},
        "loss": msgspec.to_builtins(case.loss),
        "reduction": case.reduction,
        "inputs": [[number(x[i % len(x)]) for i in range(widths[0])] for x in case.inputs[:samples]],
        "targets": [_target(case, t, widths[-1]) for t in case.targets[:samples]],
    }
    if case.optimizer is not None:
        body |= {"optimizer": msgspec.to_builtins(case.optimizer.over(steps)), "steps": steps}
    body |= {name: msgspec.to_builtins(part) for name in ("clip", "regularization") if (part := getattr(case, name))}
    try:
        made_case = Case.from_dict(body)
    except CaseError:
        return None
    clear = is_clear if made_case.trains else is_clear_of_kinks
    return made_case if clear(made_case) else None


def _target(case: Case, target: tuple[float, ...], width: int) -> list[float]:
    kept = list(target[:width])
    if case.loss.kind in NEEDS_OUTPUT and case.loss.kind != "binary_cross_entropy":
        total = sum(kept)
        return [each / total for each in kept] if total > 0 else [1.0, *[0.0] * (width - 1)]
    return kept + [kept[-1]] * (width - len(kept))
