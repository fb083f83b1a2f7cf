"""The recording numbers compute what floats compute, bit for bit, and record every operation correctly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backprop_check.cases.draw import PAIRS
from backprop_check.cases.files import suite_files
from backprop_check.cases.generate import generated_cases
from backprop_check.compare.expected import textbook_pass
from backprop_check.compare.trace import slots_of
from backprop_check.numbers.recording import MINUS, OVER, PLUS, TIMES, Recorded, Recording
from backprop_check.reference import run_pass

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "exp": math.exp, "expm1": math.expm1, "log": math.log, "log1p": math.log1p, "tanh": math.tanh, "erf": math.erf,
    "sqrt": math.sqrt, "abs": abs,
}  # fmt: skip


def numbers(table: Any) -> list[Recorded]:
    if isinstance(table, Recorded):
        return [table]
    rows = table.tolist() if hasattr(table, "tolist") else table
    return [x for row in rows for x in numbers(row)]


def again(x: Recorded) -> float:
    """The result of the recorded operation on its operands' values."""
    values = [operand.value for operand in x.operands]
    match x.operation:
        case "constant" | "given" | "π":
            return x.value
        case "cell" | "either":
            return values[0]
        case "branch":
            assert x.taken == (1 if values[0] > 0 else 2)
            return values[x.taken]
        case "neg":
            return -values[0]
        case "max":
            return max(values)
        case "sum":
            return math.fsum(values)
        case "t ln":
            return values[0] * values[1] if values[0] else 0.0
        case operation if operation in FUNCTIONS:
            return float(FUNCTIONS[operation](values[0]))
        case operation:
            first, second = values
            return {PLUS: first + second, MINUS: first - second, TIMES: first * second,
                    OVER: first / second if operation == OVER else 0.0}[operation]  # fmt: skip


@pytest.mark.thorough
def test_the_recorded_pass_is_the_pass_on_floats_bit_for_bit() -> None:
    """Every value of every slot, for every pair of activation and loss, batches, reductions and several updates."""
    for case in [*generated_cases(len(PAIRS), seed=3), *(file.case for file in suite_files("published"))]:
        plain = textbook_pass(case).values
        for slot, table in slots_of(run_pass(case, Recording())):
            values = [x.value for x in numbers(table)]
            assert values == np.asarray(plain[slot]).ravel().tolist(), (case.id, slot)


def test_every_operation_that_is_remembered_gives_its_value() -> None:
    """Recomputed from its operands, each number below the last updated weight is the recorded one."""
    seen: set[int] = set()
    operations: set[str] = set()
    for case in generated_cases(60, seed=4):
        passes = run_pass(case, Recording())
        waiting = [x for _, table in slots_of(passes) for x in numbers(table)]
        while waiting:
            x = waiting.pop()
            if id(x) in seen:
                continue
            seen.add(id(x))
            operations.add(x.operation)
            value = again(x)
            assert math.isclose(value, x.value, rel_tol=1e-12, abs_tol=1e-14), (case.id, x.operation)
            waiting += x.operands
        kept = passes  # ids stay unique while the pass is alive
        assert kept
        seen.clear()
    assert {"sum", "branch", "exp", "tanh", "max", "either", "cell", "given", TIMES, OVER, MINUS} <= operations


def test_what_overflows_or_divides_by_nothing_is_told_as_ieee_has_it() -> None:
    """Recording must not raise where floats in C would give an infinity."""
    m = Recording()
    assert m.exp(m.number(1e4)).value == math.inf
    assert m.log(m.number(0.0)).value == -math.inf
    assert math.isnan(m.log(m.number(-1.0)).value)
    assert (m.number(1.0) / m.number(-0.0)).value == -math.inf
    assert math.isnan((m.number(0.0) / m.number(0.0)).value)
    assert m.log_or_zero(0.0, 0.0).value == 0.0
