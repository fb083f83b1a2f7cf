"""Kept failures: replayed, dropped when fixed, and never a command from an untrusted folder."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from command_line import called, sentence_of, small_port

from backprop_check.case.network import Case
from backprop_check.running.kept_failures import keep, kept_failures
from backprop_check.running.one_case import Settings

if TYPE_CHECKING:
    from pathlib import Path

NEURON = {"kind": "dense", "units": 1, "activation": "tanh", "parameters": {"weights": [[0.5]], "biases": [0.25]}}


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def chain(name: str = "chain") -> Case:
    """1-1-1 with tanh: shows a missing hidden derivative."""
    return Case.from_dict(
        {
            "name": name,
            "network": {"inputs": 1, "layers": [NEURON, NEURON]},
            "loss": {"kind": "half_squared_error"},
            "reduction": "mean",
            "inputs": [[0.5]],
            "targets": [[-0.25]],
        }
    )


def kept(folder: Path, fault: str, name: str = "chain") -> Case:
    """Keep a case in a folder as a failure of that port."""
    case = chain(name)
    keep(case, code="BP102", sentence="it forgets", found_in="x", command=small_port(fault), root=folder)
    return case


def test_failed_stays_and_fixed_goes(tmp_path: Path) -> None:
    """With the command that failed it fails again; with a right one it is fixed, and dropped."""
    case = kept(tmp_path, "hidden")
    failed = called(tmp_path, "replay")
    assert failed.exit_code == 1, failed.output
    assert f"FAILED  {case.id}  BP102 it forgets" in failed.output
    assert "first wrong value" in failed.output
    assert [each.id for each in kept_failures(tmp_path)] == [case.id]
    fixed = called(tmp_path, "replay", "--impl", small_port())
    assert fixed.exit_code == 0, fixed.output
    assert f"FIXED   {case.id}" in fixed.output
    assert kept_failures(tmp_path) == []
    nothing = called(tmp_path, "replay")
    assert nothing.exit_code == 0
    assert "No failure is kept here" in nothing.output


def test_only_those_named_are_run(tmp_path: Path) -> None:
    """By id or by name; the others stay."""
    first, second = kept(tmp_path, "right", "one"), kept(tmp_path, "right", "two")
    assert first.id != second.id
    done = called(tmp_path, "replay", "two")
    assert done.exit_code == 0, done.output
    assert second.id in done.output
    assert first.id not in done.output
    assert [each.id for each in kept_failures(tmp_path)] == [first.id]
    assert called(tmp_path, "replay", first.id).exit_code == 0


def test_an_unknown_id_is_one_sentence(tmp_path: Path) -> None:
    """Exit code 2, and the list of ids."""
    case = kept(tmp_path, "right")
    sentence = sentence_of(tmp_path, "replay", "chian", code=2)
    assert "chian" in sentence
    assert case.id in sentence
    assert len(sentence.splitlines()) == 1


def test_a_folder_from_a_stranger_names_no_command(tmp_path: Path) -> None:
    """Replay runs nothing that an untrusted folder names, and asks for --impl."""
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.mkdir()
    case = kept(theirs, "hidden")
    shutil.copytree(theirs, mine)
    path = mine / ".backprop-check" / "failures" / f"{case.id}.json"
    content = json.loads(path.read_text())
    content["kept"]["command"] = content["command"] = f"touch {mine / 'owned'}"
    path.write_text(json.dumps(content))
    sentence = sentence_of(mine, "replay", code=2)
    assert "--impl" in sentence
    assert case.id in sentence
    assert not (mine / "owned").exists()
    assert called(mine, "replay", "--impl", small_port("hidden")).exit_code == 1


def test_a_case_that_leaves_its_defaults_out(tmp_path: Path) -> None:
    """The kept file writes out α and the steps; file, id and saved command are those of the case that is read
    from it.
    """
    layer = {**NEURON, "activation": "leaky_relu"}
    body = {**chain().to_dict(), "inputs": [[-2.0]], "optimizer": {"kind": "sgd", "learning_rate": 0.5}}
    case = Case.from_dict({**body, "network": {"inputs": 1, "layers": [layer, NEURON]}})
    path = keep(case, code="BP102", sentence="", found_in="", command=small_port("hidden"), root=tmp_path)
    (one,) = kept_failures(tmp_path)
    assert one.id == path.stem == json.loads(path.read_text())["case"]["id"]
    assert one.command == small_port("hidden")
    assert called(tmp_path, "replay", one.id).exit_code == 1


def test_a_failing_run_keeps_what_replay_runs(tmp_path: Path) -> None:
    """All together: run, replay (fails in the same way), a fixed port, replay again."""
    done = called(tmp_path, "run", small_port("hidden"), "--suite", "generated", "--cases", "12")
    assert done.exit_code == 1, done.output
    (one,) = kept_failures(tmp_path)
    assert one.code == "BP102"
    assert sum(layer.units for layer in one.file.case.network.layers) <= 3
    assert f"Again: backprop-check replay {one.id}" in done.output
    (line,) = [line for line in done.output.splitlines() if "By hand: " in line]
    assert len(line) < 400  # if it were longer, it would be in a file
    assert f"< .backprop-check/failures/{one.id}.jsonl" in line
    by_hand = line.partition("By hand: ")[2]
    replies = subprocess.run(by_hand, shell=True, cwd=tmp_path, capture_output=True, check=True, text=True).stdout  # noqa: S602 - our own line
    assert [json.loads(reply).get("id") for reply in replies.splitlines()] == [None, one.id]
    assert called(tmp_path, "replay", one.id).exit_code == 1
    assert called(tmp_path, "replay", one.id, "--impl", small_port()).exit_code == 0
    assert kept_failures(tmp_path) == []
    assert list((tmp_path / ".backprop-check" / "failures").iterdir()) == []


def test_the_results_file_names_the_kept_case(tmp_path: Path) -> None:
    """The smallest network has the same id in the results file, in the terminal, and in the kept file."""
    called(tmp_path, "run", small_port("hidden"), "--suite", "generated", "--cases", "12", "--json", "r.json")
    (one,) = kept_failures(tmp_path)
    (cause,) = json.loads((tmp_path / "r.json").read_text())["diagnoses"]
    assert cause["smallest"] == one.id
    assert cause["smallest_case"]["id"] == one.id


def test_an_implementation_that_is_gone_drops_nothing(tmp_path: Path) -> None:
    """Exit code 3, and the failure is still kept."""
    case = chain()
    keep(case, code=None, sentence="", found_in="", command="no-such-program-anywhere", root=tmp_path)
    assert "no-such-program-anywhere" in sentence_of(tmp_path, "replay", code=3)
    assert [each.id for each in kept_failures(tmp_path)] == [case.id]


def test_what_it_does_not_support_is_not_fixed(tmp_path: Path) -> None:
    """A skip is not a pass: the file stays."""
    case = kept(tmp_path, "bad")  # the first case of that port is skipped
    done = called(tmp_path, "replay")
    assert "FIXED" not in done.output
    assert [each.id for each in kept_failures(tmp_path)] == [case.id]


def test_without_a_home_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is still kept; replay asks for --impl."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    kept(tmp_path, "hidden")
    assert kept_failures(tmp_path)[0].command is None
    assert "--impl" in sentence_of(tmp_path, "replay", code=2)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """One sentence with the folder."""
    (tmp_path / ".backprop-check").write_text("")
    sentence = sentence_of(tmp_path, "run", small_port("hidden"), "--suite", "generated", "--cases", "4", code=2)
    assert ".backprop-check" in sentence


def test_it_is_judged_and_started_as_in_the_run(tmp_path: Path) -> None:
    """With tolerances of its own a run fails in few digits only; replay uses the same tolerances."""
    tolerant = ("--suite", "generated", "--cases", "12", "--atol", "0.01", "--timeout", "60")
    done = called(tmp_path, "run", small_port("offset"), *tolerant)
    assert done.exit_code == 1, done.output
    assert re.search(r"Again: backprop-check replay \S+ --timeout 60\n", done.output)
    assert {each.settings for each in kept_failures(tmp_path)} == {Settings(atol=0.01)}
    (path,) = [each.path for each in kept_failures(tmp_path)][:1]
    data = json.loads(path.read_text(encoding="utf-8"))
    data["kept"]["settings"]["atol"] = 1e9
    path.write_text(json.dumps(data), encoding="utf-8")
    again = called(tmp_path, "replay", kept_failures(tmp_path)[0].id, "--timeout", "60")
    assert again.exit_code == 0, "its own tolerance was not heeded"
    assert "FIXED" in again.output


@pytest.mark.parametrize("settings", [3, {"rtol": -1.0}, {"rtol": "much"}, {"profile": "loose"}, {"atol": 1e999}])
def test_settings_that_are_none(tmp_path: Path, settings: object) -> None:
    """Invalid settings in a file are replaced with the defaults."""
    path = keep(chain(), code=None, sentence="", found_in="", command="x", root=tmp_path)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["kept"]["settings"] = settings
    path.write_text(json.dumps(data).replace("Infinity", "1e999"), encoding="utf-8")
    found = kept_failures(tmp_path)
    assert [each.settings for each in found] in ([], [Settings()])
