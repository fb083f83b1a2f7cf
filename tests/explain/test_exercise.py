"""The exercise: a learner in Dart makes the usual mistakes stage by stage, and each is named before the next stage."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import tool

from backprop_check.case.network import Case
from backprop_check.cases.generate import generated_cases
from backprop_check.cli import main
from backprop_check.compare.compare import Mismatch
from backprop_check.compare.expected import expect
from backprop_check.compare.reply_form import as_reply
from backprop_check.explain.exercise import LEFT_OUT, STAGES, Step, finished, next_step, unfinished
from backprop_check.explain.making import made_up
from backprop_check.protocol import CallableImplementation
from backprop_check.running.one_case import Outcome, Result, judge

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"


@dataclass
class Learner:
    """Someone with ``init dart --exercise``, the guide and an editor."""

    folder: Path
    dart: str

    @property
    def source(self) -> Path:
        return self.folder / "lib" / "network.dart"

    def edit(self, before: str, after: str) -> None:
        text = self.source.read_text(encoding="utf-8")
        assert text.count(before) == 1, before
        self.source.write_text(text.replace(before, after), encoding="utf-8")

    def run(self, code: int = 1) -> str:
        command = f'"{self.dart}" "{self.folder / "bin" / "port.dart"}"'
        done = CliRunner().invoke(main, ["run", command, "--exercise", "--cases", "80"])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        assert done.exit_code == code, done.output
        return " ".join(done.output.split())


OUTPUT = "    return List.filled(targets.length, 0.0);\n"
CHAIN = "output.activation.deltas(output.z, output.a, loss.activationGradients(output.a, targets))"
DELTAS = f"oneStep?.deltas(output.a, targets) ?? {CHAIN}"
RIGHT_OUTPUT = f"    return [for (final d in {DELTAS}) d / divisor];\n"
HIDDEN = "    return List.filled(neurons.length, 0.0);\n"
RIGHT_HIDDEN = "    return activation.deltas(z, a, activationGradients);\n"
SUM = "    // TODO hidden delta (see EXERCISE.md)\n    return gradients;\n"
GRADIENTS = "    // TODO gradients (see EXERCISE.md)\n"
UPDATE = "    // TODO update (see EXERCISE.md)\n"


def the_sum(assign: str) -> str:
    return (
        "    for (var j = 0; j < neurons.length; j++) {\n"
        "      for (var i = 0; i < inputs.length; i++) {\n"
        f"        gradients[i] {assign} delta[j] * neurons[j].weights[i];\n"
        "      }\n    }\n    return gradients;\n"
    )


def output_delta(learner: Learner) -> None:
    said = learner.run()
    assert "ok 2. forward next 3. output delta" in said
    assert "hidden" not in said

    learner.edit(OUTPUT, "    return [];\n")  # too short: the port itself raises an error
    said = learner.run()
    assert "FAIL 1. smoke" in said
    assert "RangeError" in said
    learner.edit("    return [];\n", f"    return [for (final d in {DELTAS}) -d / divisor];\n")
    said = learner.run()
    assert "FAIL 3. output delta" in said
    assert "This is what BP118 gives, error sign flipped" in said
    without = "    return [for (final slope in loss.activationGradients(output.a, targets)) slope / divisor];\n"
    learner.edit(f"    return [for (final d in {DELTAS}) -d / divisor];\n", without)
    said = learner.run()
    assert "FAIL 3. output delta" in said
    assert "BP101" in said
    learner.edit(without, RIGHT_OUTPUT)


def hidden_delta(learner: Learner) -> None:
    said = learner.run()
    assert "ok 3. output delta next 4. hidden delta" in said
    assert "gradients that" not in said
    assert "5." not in said
    learner.edit(SUM, the_sum("="))
    learner.edit(HIDDEN, RIGHT_HIDDEN)
    said = learner.run()
    assert "FAIL 4. hidden delta" in said
    assert "This is what BP108 gives, fan out overwritten" in said
    learner.edit(the_sum("="), the_sum("+="))
    learner.edit(RIGHT_HIDDEN, "    return activationGradients;\n")
    said = learner.run()
    assert "FAIL 4. hidden delta" in said
    assert "This is what BP102 gives, hidden derivative missing" in said
    learner.edit("    return activationGradients;\n", RIGHT_HIDDEN)


def gradients(learner: Learner) -> None:
    assert "ok 4. hidden delta next 5. gradients" in learner.run()
    weights = "    for (var i = 0; i < weights.length; i++) weightGradients[i] += delta * inputs[i];\n"
    learner.edit(GRADIENTS, weights)
    said = learner.run()
    assert "FAIL 5. gradients" in said
    assert "This is what BP114 gives, bias gradient missing" in said
    learner.edit(weights, f"{weights}    biasGradient += delta;\n")


def update(learner: Learner) -> None:
    assert "ok 5. gradients next 6. update" in learner.run()
    step = "    for (var i = 0; i < weights.length; i++) weights[i] += learningRate * weightGradients[i];\n"
    bias = "    bias += learningRate * biasGradient;\n"
    learner.edit(UPDATE, step + bias)
    said = learner.run()
    assert "FAIL 6. update" in said
    assert "This is what BP501 gives, gradient ascent" in said
    learner.edit(step + bias, (step + bias).replace("+=", "-="))

    said = learner.run(code=0)
    assert "ok 6. update" in said
    assert "Every stage is right" in said


def forward(learner: Learner) -> None:
    learner.edit(
        "double preActivation(Numbers inputs) {\n    var z = bias;",
        "double preActivation(Numbers inputs) {\n    var z = 0.0;",
    )
    said = learner.run()
    assert "FAIL 2. forward" in said
    assert "This is what BP201 gives, bias missing forward" in said


@pytest.mark.slow  # the exercise in Python takes the same steps; this one shows that Dart's works as well
def test_the_walk_in_dart_with_the_usual_mistakes_on_the_way(tmp_path: Path) -> None:
    """From ``init`` to a port that passes. No stage is mentioned before the one before it is right."""
    done = CliRunner().invoke(main, ["init", "dart", str(tmp_path / "mine"), "--exercise"])
    assert done.exit_code == 0, done.output
    learner = Learner(tmp_path / "mine", tool("dart"))
    output_delta(learner)
    hidden_delta(learner)
    gradients(learner)
    update(learner)
    forward(learner)


def climbing(request: dict[str, Any]) -> dict[str, Any]:
    """Right except for its update, which goes up the gradient."""
    case = Case.from_dict({key: value for key, value in request.items() if key not in ("type", "id")})
    values = dict(expect(case).values)
    for slot, updated in values.items():
        if slot.quantity.startswith("updated") and slot.layer is not None:
            parameters = case.network.layers[slot.layer].parameters
            before = parameters.weights if slot.quantity == "updated_weight" else parameters.biases
            values[slot] = 2 * np.array(before) - updated
    return {"id": request["id"], **as_reply(values, len(case.network.layers))}


@pytest.mark.thorough
def test_the_update_is_blamed_where_the_gradients_are_right() -> None:
    """A flipped error gives the same updates, but it would have shown in every gradient."""
    cases = [case for case in generated_cases(200) if case.optimizer is not None and case.steps == 1][:5]
    step = next_step(list(judge(cases, CallableImplementation(climbing))))
    assert step.stage is not None
    assert step.stage.name == "update"
    assert "This is what BP501 gives" in step.mistakes[0]
    assert not any("BP118" in mistake for mistake in step.mistakes)


LANGUAGES = sorted(path.parent.name for path in PORTS.glob("*/port.toml"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_port_has_the_exercise(language: str) -> None:
    """All four stages are marked; the exercise has no marks left, and the port itself loses nothing."""
    stages: list[str] = []
    for path in sorted((PORTS / language).rglob("*")):
        if path.is_file() and "EXERCISE BEGIN" in (text := path.read_text(encoding="utf-8", errors="replace")):
            left, found = unfinished(text)
            stages += found
            assert "EXERCISE" not in left.replace("EXERCISE.md", "")
            assert left.count("TODO") >= len(found)
            kept = [line for line in text.split("\n") if "EXERCISE " not in line]
            assert finished(text).split("\n") == kept
    assert set(stages) == set(LEFT_OUT)


@pytest.mark.parametrize(
    "text",
    ["# EXERCISE BEGIN update", "# EXERCISE BEGIN nonsense\n# EXERCISE END nonsense",
     "# EXERCISE BEGIN update\n# EXERCISE END gradients", "# EXERCISE END update",
     "# EXERCISE BEGIN update\n# EXERCISE BEGIN gradients\n# EXERCISE END gradients\n# EXERCISE END update"],
)  # fmt: skip
def test_marks_that_do_not_pair_are_refused(text: str) -> None:
    """A port with such marks would give an exercise that cannot be solved."""
    with pytest.raises(ValueError, match="EXERCISE"):
        unfinished(text)


def result(*mismatches: Mismatch, outcome: Outcome = "mismatched", layers: int = 2) -> Result:
    case = made_up("2-" + "-".join(["2"] * layers)).to_dict()
    return Result(id="x-1", outcome=outcome, mismatches=list(mismatches), case=case, mismatch_count=1000)


WRONG = Mismatch(quantity="z", layer=0, neuron=0, sample=0, expected=1.0, actual=2.0)


@pytest.mark.parametrize(
    ("mismatch", "stage"),
    [
        (WRONG, "forward"),
        (Mismatch(quantity="loss", expected=1.0, actual=2.0), "forward"),
        (Mismatch(quantity="loss", step=1, expected=1.0, actual=2.0), "update"),
        (Mismatch(quantity="delta", layer=1, neuron=0, sample=0, expected=1.0, actual=2.0), "output delta"),
        (Mismatch(quantity="delta", layer=0, neuron=0, sample=0, expected=1.0, actual=2.0), "hidden delta"),
        (Mismatch(quantity="input_gradient", sample=0, index=[0], expected=1.0, actual=2.0), "hidden delta"),
        (Mismatch(quantity="weight_gradient", layer=1, neuron=0, index=[0], expected=1.0, actual=2.0), "gradients"),
        (Mismatch(quantity="updated_bias", layer=1, neuron=0, expected=1.0, actual=2.0), "update"),
        (Mismatch(quantity="delta", layer=0, problem="shape", expected="a", actual="b"), "smoke"),
        (Mismatch(quantity="weight_gradient", layer=0, problem="missing", expected="a", actual="b"), "smoke"),
    ],
)
def test_each_wrong_value_has_its_stage(mismatch: Mismatch, stage: str) -> None:
    """The first stage with a wrong value is the one to work on."""
    last = Mismatch(quantity="updated_weight", layer=1, neuron=0, index=[0], expected=1.0, actual=2.0)
    step = next_step([result(last, mismatch)])
    assert step.stage is not None
    assert step.stage.name == stage
    assert stage in str(step)
    assert not step.done


def test_what_gives_no_numbers_is_the_first_stage() -> None:
    """A crash is not a wrong gradient; and a run that judged nothing is not a success."""
    for outcome in ("error", "crash", "timeout", "protocol_error"):
        step = next_step([result(outcome=outcome), result(WRONG)])
        assert step.stage is STAGES[0]
    for nothing in ([], [result(outcome="skipped")], [result(outcome="not_applicable")]):
        assert not next_step(nothing).done
    assert next_step([result(outcome="passed")]) == Step(None, len(STAGES))


def test_an_untouched_stage_is_next_and_a_wrong_one_fails() -> None:
    """Zeros are the exercise's stand-in: the stage has not been started, so it is not wrong."""
    delta = Mismatch(quantity="delta", layer=1, neuron=0, sample=0, expected=1.0, actual=0.0)
    zero = replace(next_step([result(delta)]))
    assert not zero.begun
    assert "next  3. output delta" in str(zero)
    other = Mismatch(quantity="delta", layer=1, neuron=1, sample=0, expected=1.0, actual=0.5)
    wrong = next_step([result(delta, other)])
    assert wrong.begun
    assert "FAIL  3. output delta" in str(wrong)
    assert "the delta of neuron 0 of output, sample 0 is 0, and should be 1" in str(wrong)


@pytest.mark.thorough
def test_the_exercise_in_python_begins_with_the_output_delta(tmp_path: Path) -> None:
    """As ``init`` leaves it: the forward pass is right, no stage is wrong yet, and later stages are not mentioned."""
    CliRunner().invoke(main, ["init", "python", str(tmp_path / "mine"), "--exercise"])
    command = f'"{sys.executable}" "{tmp_path / "mine" / "port.py"}"'
    done = CliRunner().invoke(main, ["run", command, "--exercise", "--cases", "40"])
    assert done.exit_code == 1, done.output
    assert "ok    2. forward\n  next  3. output delta" in done.output
    assert "hidden" not in done.output
