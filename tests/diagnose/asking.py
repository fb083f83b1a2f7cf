"""The cases that ``tiny`` supports, and an implementation's answer to one of them as arrays by slot."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tiny import SUPPORTS, implementation

from backprop_check.api import Results
from backprop_check.case.network import Case
from backprop_check.cases.generate import generated_cases
from backprop_check.compare.compare import Comparison, compare
from backprop_check.compare.expected import expect
from backprop_check.protocol import CallableImplementation
from backprop_check.running.judging import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backprop_check.compare.trace import Array, Slot
    from backprop_check.diagnose.effort import Effort


@functools.cache
def cases() -> tuple[Case, ...]:
    """Some 50 generated cases that ``tiny`` supports."""
    return tuple(
        case
        for case in generated_cases(400, 5)
        if {layer.activation for layer in case.network.layers} <= set(SUPPORTS["activations"])
        and case.loss.kind in SUPPORTS["losses"]
    )


def deep(*, samples: int = 1) -> Case:
    """The first of them with a hidden layer of several neurons and at least this many samples."""
    return next(
        case
        for case in cases()
        if len(case.network.layers) > 1 and case.network.layers[0].units > 1 and len(case.inputs) >= samples
    )


def curved() -> Case:
    """Two inputs, two tanh, two sigmoid neurons, two samples: every derivative exists, and no value is 0."""
    layer = {"kind": "dense", "units": 2, "parameters": {"weights": [[0.4, -0.7], [0.3, 0.6]], "biases": [0.1, -0.2]}}
    return Case.from_dict(
        {
            "name": "curved",
            "network": {"inputs": 2, "layers": [{**layer, "activation": "tanh"}, {**layer, "activation": "sigmoid"}]},
            "loss": {"kind": "half_squared_error"},
            "reduction": "mean",
            "inputs": [[0.5, -0.3], [0.9, 0.8]],
            "targets": [[0.1, 0.9], [0.7, 0.2]],
        }
    )


def compared(case: Case, function: Callable[[Any], Any]) -> Comparison:
    """The comparison of the implementation's reply with the case's values."""
    opened = CallableImplementation(function)
    (answer,) = opened.exchange([(case.id, case.request())])
    assert answer.reply is not None, answer.message
    return compare(expect(case), answer.reply)


def answered(case: Case, *mistakes: str, **options: Any) -> dict[Slot, Array]:
    """The arrays that ``tiny`` replies with these mistakes."""
    return dict(compared(case, implementation(*mistakes, **options)).actual)


def judged(function: Callable[[Any], Any], chosen: Sequence[Case], *, effort: Effort | None = None) -> Results:
    """The results of ``check`` for these cases; ``effort`` limits the diagnosis (None: its default)."""
    opened = CallableImplementation(function)
    run = Run(opened)
    results = [each.result for each in run.judge(chosen)]
    return Results(results, run.summary, run.conclude(effort), opened.describe())


def named(results: Results) -> list[tuple[str | None, str, str]]:
    """Code, scope and detail of every cause."""
    return [(cause.code, cause.scope, cause.detail) for cause in results.causes]


def without(values: dict[Slot, Array], quantities: Sequence[str]) -> dict[Slot, Array]:
    """The arrays without those of these quantities."""
    return {slot: array for slot, array in values.items() if slot.quantity not in quantities}
