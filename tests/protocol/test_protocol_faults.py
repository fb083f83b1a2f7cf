"""Every way in which a port can go wrong: the message it gets, and that no other case is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from protocol_support import (
    LONG,
    alive,
    command,
    converse,
    in_flights,
    nothing_left,
    others_answered,
    patiently,
    request,
    requests,
    until,
)

from backprop_check.errors import StartError
from backprop_check.protocol import Opening, Process, SubprocessImplementation, decode_value, starting
from backprop_check.protocol.echo import echo_notes
from backprop_check.protocol.pipes import Line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backprop_check.protocol import Answer

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and sessions are POSIX")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.mark.parametrize(
    ("behaviour", "options", "sentence"),
    [
        ("no-hello", {"start_timeout": 0.3}, "it did not answer hello within {start_timeout:g} s; does it read a"),
        ("wrong-protocol", {}, "it speaks version 2 of the protocol, this backprop-check speaks version 1"),
        ("dies-at-start", {}, "exited with code 3 before it answered hello\nits stderr ends with:\nTraceback"),
        ("hello-text", {"start_timeout": 0.5}, "it printed a line that is not a JSON object: hello yourself"),
        ("hello-malformed", {}, 'at $.dtype: expected "float64" or "float32", got \'float16\''),
        ("hello-too-long", {"max_line": 100_000}, "its first line is longer than 100000 bytes"),
        ("hello-deep", {}, "its reply to hello is wrong: it is nested too deeply"),
        ("hello-endless-lines", {"start_timeout": 0.5}, "it printed a line that is not a JSON object: debug"),
        ("noisy-hello", {"strict_stdout": True}, "(loading weights), which --strict-stdout forbids"),
    ],
)
def test_start_fails(behaviour: str, options: dict[str, float], sentence: str) -> None:
    """A port that does not get as far as its hello raises StartError with one clear sentence."""

    def check(start_timeout: float) -> None:
        with pytest.raises(StartError) as caught:
            SubprocessImplementation(command(behaviour), Opening(**{**options, "start_timeout": start_timeout}))  # type: ignore[arg-type]
        assert sentence.format(start_timeout=start_timeout) in str(caught.value)

    patiently(check, seconds=options.get("start_timeout", 30.0))


def test_command_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing program is named, with advice; so is a file that is not a program."""
    with pytest.raises(StartError, match=r'the command "no-such-dart" was not found: install it'):
        SubprocessImplementation(["no-such-dart", "run"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "port.py").write_text("print()")
    with pytest.raises(StartError, match="there is a file of that name here: run it with its interpreter"):
        SubprocessImplementation(["port.py"])
    if sys.platform != "win32":
        with pytest.raises(StartError, match=r'"\./port\.py" may not be run: make it executable'):
            SubprocessImplementation(["./port.py"])
    with pytest.raises(StartError, match=r'the directory ".*nowhere" to start'):
        SubprocessImplementation(command("fine"), Opening(cwd=tmp_path / "nowhere"))
    with pytest.raises(StartError, match="the command is empty"):
        SubprocessImplementation([])


CRASHES = [
    pytest.param(
        "crash", "the process was killed by SIGSEGV (a crash: invalid memory access) before it replied", marks=posix
    ),
    ("exit-zero", "the process exited with code 0 before it replied; a port must answer line after line until"),
    (
        "exit-seven",
        r"exited with code 7 before it replied; the last line on stderr: ValueError: shapes \x1b[31mdo not",
    ),
    ("half-line", 'exited with code 0 before it replied, in the middle of a line ({"id": "bad", "loss": 0.)'),
    pytest.param("close-stdout", "the process closed its standard output before it replied", marks=posix),
    ("orphan", "the process exited with code 5 before it replied"),
    pytest.param("orphan-in-session", "the process exited with code 5 before it replied", marks=posix),
]


@pytest.mark.parametrize(("behaviour", "sentence"), CRASHES)
def test_crash(behaviour: str, sentence: str, tmp_path: Path) -> None:
    """A process that ends is a crash of exactly the case that ended it; all others are answered."""

    def run(flight: int) -> None:
        pids = tmp_path / f"pids{flight}"
        answers = converse(behaviour, flight=flight, pid=pids)
        assert answers["bad"].kind == "crash"
        assert sentence in answers["bad"].message
        others_answered(answers)
        assert alive(pids) == []

    in_flights(run, 1, 16)


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("hang", "no reply within {:g} s, so the process was ended; if it did answer, does it write a newline"),
        ("stubborn", "no reply within {:g} s"),
        ("half-line-hang", "does it write a newline and flush"),
        ("slow-bytes", "no reply within {:g} s"),
        ("close-stdin", "no reply within {:g} s"),
        ("wrong-id", 'a reply came with the id "other": a reply must repeat its request\'s id'),
        ("endless-lines", "the lines on stdout were not JSON objects"),
        ("endless-empty-lines", "the lines on stdout were not JSON objects"),
        ("endless-replies", 'a reply came with the id "else"'),
        ("binary", "the lines on stdout were not JSON objects"),
    ],
)
def test_timeout(behaviour: str, sentence: str, tmp_path: Path) -> None:
    """A case without a reply in time is a timeout, whatever else is printed; all others are answered."""

    def run(flight: int, timeout: float) -> None:
        pids = tmp_path / f"pids{flight}-{timeout}"
        answers = converse(behaviour, flight=flight, timeout=timeout, pid=pids)
        assert answers["bad"].kind == "timeout"
        assert sentence.format(timeout) in answers["bad"].message
        assert 0.99 * timeout < answers["bad"].seconds
        others_answered(answers)
        assert alive(pids) == []

    patiently(lambda timeout: in_flights(lambda flight: run(flight, timeout), 1, 16), seconds=0.3)


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("no-id", 'at $: the object has no field "id"'),
        ("id-number", "at $.id: expected a string, got an integer"),
        ("wrong-type", "at $.layers[0].gradients: expected an object, got a list"),
        ("bad-json", "it is not valid JSON"),
        ("deep", "it is nested too deeply"),
        ("endless-line", "a line on stdout is longer than 1000000 bytes"),
        ("endless-malformed", "at $.id: expected a string, got an integer"),
        ("endless-bad-json", "it is not valid JSON"),
    ],
)
def test_protocol_error(behaviour: str, sentence: str) -> None:
    """An invalid reply is a protocol error that says what is wrong and where."""

    def run(flight: int, timeout: float) -> None:
        answers = converse(behaviour, flight=flight, max_line=1_000_000, timeout=timeout)
        assert answers["bad"].kind == "protocol_error"
        assert sentence in answers["bad"].message
        others_answered(answers)

    # A port that floods its output does not read the next case; that case's timeout reveals it.
    seconds = 1.0 if behaviour.startswith("endless") else 30.0
    patiently(lambda timeout: in_flights(lambda flight: run(flight, timeout), 1, 16), seconds=seconds)


@pytest.mark.parametrize(
    ("behaviour", "note"),
    [
        ("noise", "a line on stdout is not a JSON object: before"),
        ("array", 'a line on stdout is not a JSON object: [{"id": "bad"}]'),
        ("wrong-then-right", 'a reply with the unknown id "other" was dropped'),
        ("duplicate-keys", 'the key "loss" is repeated in one object; the last one counts'),
        ("much-noise", "… and 9995 more lines on stdout that are not JSON objects"),
        ("crlf", None),
        ("no-newline", None),
    ],
)
def test_noted_only(behaviour: str, note: str | None) -> None:
    """What the protocol does not forbid, or barely forbids, is a note and a reply."""
    answers = converse(behaviour)
    assert answers["bad"].kind == "reply"
    if note:
        assert note in answers["bad"].notes
    assert len(answers["bad"].notes) < 20
    others_answered(answers)


@pytest.mark.parametrize("flight", [1, 4])
def test_replies_without_ids(flight: int) -> None:
    """Where every reply lacks its id every case says so, and the port is not restarted for each of them."""
    answers = converse("no-id", [f"bad{i}" for i in range(40)], flight=flight, max_restarts=4)
    assert {answer.kind for answer in answers.values()} == {"protocol_error"}
    assert {answer.message for answer in answers.values()} == {
        'the reply is not what the protocol asks for: at $: the object has no field "id"'
    }


def test_late_reply() -> None:
    """A second reply to an earlier case is dropped with a note, and shifts no other."""
    answers = converse("late")
    others_answered(answers)
    assert answers["bad"].kind == "reply"
    assert 'a second or late reply to "c1" was dropped' in answers["bad"].notes


def test_pipe_kept_open(tmp_path: Path) -> None:
    """A grandchild that keeps the pipes open delays neither the answers nor the end, and is killed."""
    answers = converse("keeps-pipe", pid=tmp_path / "pids")
    others_answered(answers)
    assert answers["bad"].kind == "reply"
    assert alive(tmp_path / "pids") == []


def test_sometimes_too_slow() -> None:
    """A port that is too slow for some cases only has a timeout for these and an answer for all others."""
    names = [name for i in range(3) for name in (f"bad{i}", f"bad{i}-slow", f"c{i}")]

    def check(timeout: float) -> None:
        answers = converse("sometimes-slow", names, seconds=3600, timeout=timeout)
        for name, answer in answers.items():
            assert answer.kind == ("timeout" if name.endswith("slow") else "reply"), name
        others_answered(answers)

    patiently(check, seconds=0.4)


MIB = 2**20


@pytest.mark.parametrize("behaviour", ["eats-memory", "eats-memory-in-child"])
def test_memory_limit(behaviour: str, tmp_path: Path) -> None:
    """A port that exceeds its memory limit together with its children is killed, with a message; the rest is judged."""

    def run(flight: int) -> None:
        pids = tmp_path / f"pids{flight}"
        answers = converse(behaviour, flight=flight, memory_limit=120 * MIB, pid=pids)
        assert answers["bad"].kind == "crash"
        message = answers["bad"].message
        assert message.startswith("the process used ")
        assert "more than its limit of 120 MiB, and was ended before it replied; does it keep data" in message
        others_answered(answers)
        assert alive(pids) == []

    in_flights(run, 1, 4)


def test_memory_limit_one_shot_and_hello() -> None:
    """The limit holds before the hello, and where each case has a process of its own."""
    with pytest.raises(StartError, match=r"more than its limit of 100 MiB, and was ended before it answered hello"):
        SubprocessImplementation(command("hello-eats-memory"), Opening(memory_limit=100 * MIB))
    answers = converse("eats-memory", memory_limit=100 * MIB, one_shot=True)
    assert "more than its limit of 100 MiB" in answers["bad"].message
    others_answered(answers)


def test_noise_after_a_reply_goes_to_the_next_case() -> None:
    """Noise between two cases is kept with the second, sanitized for display."""
    answers = converse("noise")
    assert r"a line on stdout is not a JSON object: after\x1b[2J" in answers["c2"].notes
    assert (answers["bad"].noise, answers["c2"].noise) == (3, 1)


def test_second_reply_is_dropped() -> None:
    """A duplicate reply never becomes another case's."""
    answers = converse("twice")
    others_answered(answers)
    assert 'a second or late reply to "bad" was dropped' in answers["c2"].notes


def test_strict_stdout() -> None:
    """With strict_stdout a debug print is a protocol error of the case in flight."""
    answers = converse("array", strict_stdout=True)
    assert answers["bad"].kind == "protocol_error"
    assert "with --strict-stdout only replies may be printed there" in answers["bad"].message
    others_answered(answers)


def test_numbers_beyond_range() -> None:
    """1e999, integers of 400 digits and bare NaN become the protocol's strings, with notes."""
    answer = converse("huge-numbers")["bad"]
    assert answer.reply is not None
    assert answer.reply.loss is not None
    assert answer.reply.input_gradients is not None
    assert decode_value(answer.reply.loss) == "Infinity"
    assert decode_value(answer.reply.input_gradients) == [["Infinity", "NaN"]]
    assert any("bare token NaN" in note for note in answer.notes)
    assert any("1e999 is beyond float64" in note for note in answer.notes)


def test_texts_are_safe() -> None:
    """Escapes, overrides, bells and lone surrogates in an error message do not reach the terminal."""
    answer = converse("texts")["bad"]
    assert answer.kind == "error"
    assert answer.message == r"\x1b[31mred\u202e \ud800 \x07"


def test_invalid_utf8() -> None:
    """Bytes that are not UTF-8 are shown as such, and noted."""
    answer = converse("invalid-utf8")["bad"]
    assert (answer.kind, answer.message) == ("error", "caf\ufffd")
    assert "the line is not UTF-8" in answer.notes[0]


def test_skip() -> None:
    """A skip keeps its reason and the reply its issue."""
    answer = converse("skip")["bad"]
    assert (answer.kind, answer.message) == ("skip", "no softmax")
    assert answer.reply is not None
    assert answer.reply.issue_url == "https://example.org/1"


#: Faults that take no time, and the outcomes of their cases.
MIXED = {
    "crash": "crash",
    "exit-seven": "crash",
    "half-line": "crash",
    "bad-json": "protocol_error",
    "wrong-type": "protocol_error",
    "deep": "protocol_error",
    "no-newline": "reply",
    "much-noise": "reply",
    "noise": "reply",
    "twice": "reply",
    "wrong-then-right": "reply",
    "duplicate-keys": "reply",
    "invalid-utf8": "error",
    "texts": "error",
    "skip": "skip",
}


def test_faults_at_random() -> None:
    """Whatever the sequence of faults, each case has its own verdict, and all others are answered."""
    faults = [*MIXED] * 3
    random.Random(7).shuffle(faults)  # noqa: S311 (an order, not a secret)
    names = [name for i, fault in enumerate(faults) for name in (f"bad~{fault}~{i}", f"c{2 * i}", f"c{2 * i + 1}")]

    def run(flight: int) -> None:
        answers = converse("mixed", names, flight=flight, max_restarts=60)
        others_answered(answers)
        for name, answer in answers.items():
            if name.startswith("bad"):
                assert answer.kind == MIXED[name.split("~")[1]], name

    in_flights(run, 1, 5)


def test_stderr_flood() -> None:
    """Megabytes on stderr block nothing; their end is kept with the case they came with."""

    def check(seconds: float) -> None:
        """The reply comes this much later than the flood."""
        answers = converse("flood-stderr", seconds=seconds)
        assert answers["bad"].kind == "reply"
        assert answers["bad"].stderr.rstrip().endswith("the end")
        assert len(answers["bad"].stderr) < 40_000
        assert "\x1b" not in answers["bad"].stderr
        assert answers["c3"].stderr == ""
        others_answered(answers)

    patiently(check, seconds=0.1)


def test_always_dies() -> None:
    """A port that dies at every case is given up after max_restarts; the rest is not run, and no result is lost."""
    answers = list(converse("always-dies", [f"c{i}" for i in range(6)], max_restarts=3).values())
    assert [answer.kind for answer in answers] == ["crash"] * 4 + ["not_run"] * 2
    assert answers[-1].message.startswith("not run: the implementation was restarted 3 times and is given up;")
    assert "the last problem: the process" in answers[-1].message


def test_always_dies_pipelined() -> None:
    """The same with 16 cases in flight: the oldest is blamed when no restart is left."""
    answers = list(converse("always-dies", [f"c{i}" for i in range(30)], max_restarts=3, flight=16).values())
    assert [answer.kind for answer in answers] == ["crash"] * 3 + ["not_run"] * 27


def test_no_second_hello(tmp_path: Path) -> None:
    """A port that cannot be restarted is given up; its earlier answers are kept."""
    answers = list(converse("hello-once", ["c1", "c2"], flag=tmp_path / "flag").values())
    assert [answer.kind for answer in answers] == ["reply", "reply"]
    (tmp_path / "flag").unlink()
    with SubprocessImplementation(command("hello-once", flag=tmp_path / "flag")) as port:
        process = port.current()
        assert process is not None
        process.close(0)
        answers = list(port.exchange(requests(["c1", "c2"])))
    assert [answer.kind for answer in answers] == ["not_run", "not_run"]
    assert "it could not be started again: the implementation could not be started" in answers[0].message
    assert "exited with code 4" in answers[0].message


def test_dies_between_cases() -> None:
    """A port that ends after a reply does not fail the next case."""
    answers = converse("dies-after-reply", ["c1", "last", "c2", "c3"])
    others_answered(answers)


@posix
@pytest.mark.parametrize("flight", [1, 4])
def test_deaf_between_cases(flight: int) -> None:
    """A port that closes its input after a reply does not fail the next case, nor cost its timeout."""

    def check(timeout: float) -> None:
        others_answered(converse("deaf-after-reply", ["c1", "last", "c2", "c3"], flight=flight, timeout=timeout))

    patiently(check, seconds=0.5 if flight > 1 else 30)


def test_a_crash_is_certain_before_it_is_blamed() -> None:
    """A port that cannot be restarted after an unclear end leaves its next case unjudged, not blamed."""
    answers = converse("crash", ["c1", "bad", "c2"], max_restarts=0)
    assert [answer.kind for answer in answers.values()] == ["reply", "not_run", "not_run"]
    assert "the last problem: the process was killed by SIGSEGV" in answers["bad"].message


def test_making_sure_costs_no_restart() -> None:
    """Each of many crashes is confirmed in a new process; only one restart is counted for it."""
    names = [name for i in range(4) for name in (f"c{i}", f"bad{i}")] + ["c9"]
    answers = converse("crash", names, max_restarts=4)
    others_answered(answers)
    assert [answer.kind for answer in answers.values()] == ["reply", "crash"] * 4 + ["reply"]


def test_only_hello() -> None:
    """A port that ends after its hello gets the advice to loop, or to use --one-shot."""
    answers = list(converse("only-hello", ["c1", "c2", "c3"], max_restarts=2).values())
    assert {answer.kind for answer in answers} <= {"crash", "not_run"}
    assert "--one-shot" in answers[0].message


def test_daemon_is_ended(tmp_path: Path) -> None:
    """Even a grandchild that left the group, the pipes and its parent is killed."""
    answers = converse("daemon", pid=tmp_path / "pids")
    assert answers["bad"].kind == "reply"
    others_answered(answers)
    assert alive(tmp_path / "pids") == []


keeper = pytest.mark.skipif(not starting.HAS_KEEPER, reason="only Linux gives orphans to a process of ours")


@keeper
@pytest.mark.parametrize("behaviour", ["escapes", "escapes-and-dies"])
def test_what_hides_from_its_family_is_ended(behaviour: str, tmp_path: Path) -> None:
    """A daemon that forked twice, with its own session and an empty environment, is killed, whether or not its
    parents live.
    """
    answers = converse(behaviour, pid=tmp_path / "pids")
    others_answered(answers)
    noted = (tmp_path / "pids").read_text().split()
    assert len(noted) >= 1
    assert alive(tmp_path / "pids") == []


@keeper
def test_what_others_started_is_left_alone(tmp_path: Path) -> None:
    """The user's own children, and an orphan of theirs in a session of its own, survive the ports of a run."""
    sleep = [sys.executable, "-S", "-E", "-c", "import time; time.sleep(60)"]
    code = f"import subprocess; print(subprocess.Popen({sleep!r}, start_new_session=True, stdout=-3, stderr=-3).pid)"
    mine = subprocess.Popen(sleep)
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        (tmp_path / "mine").write_text(f"{mine.pid}\n{done.stdout}")
        converse("escapes", pid=tmp_path / "pids")
        assert alive(tmp_path / "pids") == []
        assert len(alive(tmp_path / "mine")) == 2
    finally:
        mine.kill()
        mine.wait()
        for pid in alive(tmp_path / "mine"):
            os.kill(pid, signal.SIGKILL)


@keeper
def test_a_port_has_the_environment_that_it_is_given() -> None:
    """Where no locale is set, none is added."""
    given = {"PATH": "/usr/bin:/bin", "X": "a=b"}
    with Process(["env"], env=given, marker="m") as process:
        lines = []
        while isinstance(event := process.receive(10), Line):
            lines.append(event.data.decode())
    assert sorted(lines) == ["BACKPROP_CHECK_SESSION=m", "PATH=/usr/bin:/bin", "X=a=b"]


@keeper
def test_the_keeper_does_not_count_as_memory_of_the_port() -> None:
    """A port that needs little memory stays within a limit that its keeper, a Python process, would exceed."""
    with Process(["cat"], memory_limit=6 * 2**20) as process:
        process.send(b"one")
        assert isinstance(process.receive(10), Line)
        assert not process.wait(0.8)  # long enough for several memory checks
        assert process.memory_used == 0


@keeper
def test_a_port_ends_with_a_harness_that_is_killed(tmp_path: Path) -> None:
    """After SIGKILL a harness cannot end anything: the keeper notices it, and ends a port that hangs."""
    sleep = [sys.executable, "-S", "-E", "-c", "import time; print(1, flush=True); time.sleep(60)"]
    code = (
        "import time\nfrom backprop_check.protocol import Process, tree\n"
        f"process = Process({sleep!r})\nprocess.start()\nprocess.receive(30)\n"
        "print(process.pid, *(each.pid for each in tree.descendants(process.pid)), flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        (tmp_path / "family").write_bytes(harness.stdout.readline())
        assert len(alive(tmp_path / "family")) == 2
        harness.kill()
    deadline = time.monotonic() + 20
    while alive(tmp_path / "family") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive(tmp_path / "family") == []


def test_ignores_end_of_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that does not exit at the end of its input is ended."""
    monkeypatch.setattr("backprop_check.protocol.session._GRACE", 0.2)
    others_answered(converse("ignores-eof", ["c1"]))


@pytest.mark.parametrize("flight", [1, 4, 16])
def test_pipelining(flight: int) -> None:
    """Any number in flight gives all answers in order."""
    others_answered(converse("fine", [f"c{i}" for i in range(300)], flight=flight))


def test_out_of_order() -> None:
    """Replies in reverse order are returned in the order of the requests."""
    others_answered(converse("reversed", [f"c{i}" for i in range(32)], flight=4))


def test_queueing_is_not_blamed() -> None:
    """The time a case waits behind others in flight does not count towards its timeout."""
    names = [f"bad{i}" for i in range(8)]

    def check(timeout: float) -> None:
        """Each takes a fifth of its timeout, all together more than the timeout."""
        answers = converse("slowly", names, flight=8, seconds=timeout / 5, timeout=timeout)
        assert [answer.kind for answer in answers.values()] == ["reply"] * 8
        assert all(timeout / 10 < answer.seconds < 0.8 * timeout for answer in answers.values())

    patiently(check, seconds=0.5)


def test_starved_case_times_out() -> None:
    """A case that is never answered while all others are still gets its timeout."""
    names = ["c0", "bad", *(f"c{i}" for i in range(1, 400))]

    def check(timeout: float) -> None:
        answers = converse("starving", names, flight=4, timeout=timeout)
        assert answers["bad"].kind == "timeout"
        others_answered(answers)

    patiently(check, seconds=0.3)


@pytest.mark.parametrize(("flight", "one_shot"), [(4, False), (1, True)])
def test_ten_megabytes_each_way(flight: int, *, one_shot: bool) -> None:
    """Messages of 10 MB in both directions cause no deadlock, also with several in transit at once."""
    padding = b" " * 10_000_000
    with SubprocessImplementation(command("big", flight=flight), Opening(timeout=LONG, one_shot=one_shot)) as port:
        wide = ((name, data[:-1] + padding + b"}") for name, data in requests(["bad1", "bad2", "bad3"]))
        answers = list(port.exchange(wide))
    assert [answer.kind for answer in answers] == ["reply"] * 3
    assert all(answer.size > 10_000_000 for answer in answers)


def test_one_shot() -> None:
    """With one_shot every line has a process of its own, and a crash costs only its own case."""
    answers = converse("one-line", ["c1", "c2", "c3"], one_shot=True)
    others_answered(answers)
    answers = converse("exit-seven", one_shot=True)
    assert answers["bad"].kind == "crash"
    assert "exited with code 7" in answers["bad"].message
    others_answered(answers)

    def check(timeout: float) -> None:
        answers = converse("hang", one_shot=True, timeout=timeout)
        assert answers["bad"].kind == "timeout"
        others_answered(answers)

    patiently(check, seconds=0.5)


def test_one_shot_without_newline() -> None:
    """A script that ends without a newline has answered."""
    assert converse("no-newline", one_shot=True)["bad"].kind == "reply"


def test_noise_before_hello_is_kept() -> None:
    """Output before the hello is kept with the first case."""
    answers = converse("noisy-hello", ["c1", "c2"])
    assert answers["c1"].notes == ("a line on stdout is not a JSON object: loading weights",)
    assert answers["c2"].notes == ()


def test_describe_is_safe() -> None:
    """An implementation's description of itself is sanitized for display."""
    with SubprocessImplementation(command("hostile-hello")) as port:
        info = port.describe()
    assert info.name == r"\x1b[31m<b>net</b>\u202e"
    assert info.language == r"a\nb"
    assert info.version == r"\ud800"


@pytest.mark.parametrize(
    ("echo", "dtype", "sentences"),
    [
        ("[0.1, 0.3333333333333333, 5e-324, 1.7976931348623157e308, -0.0, 123456789]", "float64", []),
        ("[0.1, 0.333333, 0.0, 1.7976931348623157e308, -0.0, 1.23457e8]", "float64",
         ["sent 0.3333333333333333, got back 0.333333: numbers are printed with too few digits",
          "sent 5e-324, got back 0.0: subnormal numbers (those below 2.2e-308) are flushed to zero", "too few digits"]),
        ("[0.1, 0.3333333333333333, 5e-324, 1.7976931348623157e308, 0, 123456789.0]", "float64", []),
        ('[0.10000000149011612, 0.3333333432674408, 0.0, "Infinity", -0.0, 123456792.0]', "float32", []),
        ("[0.10000000149011612, 0.3333333432674408, 5e-324, 1.7976931348623157e308, -0.0, 123456789.0]", "float64",
         ["numbers pass through float32", "numbers pass through float32"]),
        ("[0, 0, 0, 1, 0, 123456789]", "float64",
         ["cut to integers", "cut to integers", "flushed to zero", "parsed or printed wrongly"]),
        ("[0.1]", "float64", ["the echo has 1 numbers where 6 were sent"]),
        ('["0.1", null, [], 1e999, {}, true]', "float64", ["not a number"] * 3 + ["wrongly"] + ["not a number"] * 2),
    ],
)  # fmt: skip
def test_echo(echo: str, dtype: str, sentences: list[str]) -> None:
    """Every changed number of the echo is reported, with what was sent, what came, and the likely cause."""
    with SubprocessImplementation(command("fine", echo=echo, dtype=dtype)) as port:
        problems = port.echo_problems
    assert len(problems) == len(sentences)
    for problem, sentence in zip(problems, sentences, strict=True):
        assert sentence in problem


@pytest.mark.parametrize(("zero", "notes"), [("-0.0", 0), ("0", 1), ("0.0", 1), ("1e-300", 0), ("null", 0)])
def test_a_zero_without_its_sign_is_a_note(zero: str, notes: int) -> None:
    """JavaScript writes 0 for −0.0: no gradient depends on it."""
    echo = f"[0.1, 0.3333333333333333, 5e-324, 1.7976931348623157e308, {zero}, 123456789.0]"
    with SubprocessImplementation(command("fine", echo=echo, dtype="float64")) as port:
        found = echo_notes(port.hello.echo)
        assert bool(port.echo_problems) is (zero in ("1e-300", "null"))
    assert len(found) == notes
    assert all("the sign of zero is lost" in note for note in found)
    assert echo_notes(None) == []


def test_interrupted_iteration() -> None:
    """An iterator that is closed in the middle ends the process at once."""
    with SubprocessImplementation(command("fine", flight=4)) as port:
        answers = port.exchange(requests(f"c{i}" for i in range(100)))
        assert next(answers).id == "c0"
        answers.close()  # type: ignore[attr-defined]
        assert port.current() is None
        with pytest.raises(KeyboardInterrupt):
            list(port.exchange(interrupted()))
        assert port.current() is None


def interrupted() -> Iterator[tuple[str, bytes]]:
    yield request("c1")
    raise KeyboardInterrupt


def test_keep_running() -> None:
    """A process can be kept for the next exchange; otherwise the next exchange starts a new one."""
    with SubprocessImplementation(command("fine")) as port:
        process = port.current()
        others_answered({answer.id: answer for answer in port.exchange(requests(["a"]), keep_running=True)})
        assert port.current() is process
        others_answered({answer.id: answer for answer in port.exchange(requests(["a"]))})
        assert port.current() is None
        others_answered({answer.id: answer for answer in port.exchange(requests(["a", "b"]))})
    with pytest.raises(ValueError, match="was closed"):
        port.exchange([])


def test_requests_are_pulled_lazily() -> None:
    """An answer is returned before the next request is pulled, so that a request may depend on it."""
    seen: list[Answer] = []

    def adaptive() -> Iterator[tuple[str, bytes]]:
        for i in range(5):
            assert len(seen) == i
            yield request(f"c{i}")

    with SubprocessImplementation(command("fine")) as port:
        for answer in port.exchange(adaptive()):
            seen.append(answer)  # noqa: PERF402 (the iterable looks at it meanwhile)
    assert len(seen) == 5


def test_slow_requests_cost_nothing() -> None:
    """Time spent making requests or reading answers does not count towards the port's timeout."""

    def check(timeout: float) -> None:
        """Each request takes longer than the timeout to make, and half of it to read."""

        def slow() -> Iterator[tuple[str, bytes]]:
            for i in range(4):
                time.sleep(1.2 * timeout)
                yield request(f"c{i}")

        with SubprocessImplementation(command("fine", flight=4), Opening(timeout=timeout)) as port:
            for answer in port.exchange(slow()):
                time.sleep(0.5 * timeout)
                assert answer.kind == "reply"
                assert answer.seconds < 0.8 * timeout

    patiently(check, seconds=0.25)


def test_same_id_twice_in_flight() -> None:
    """Two requests in flight with the same id are the caller's mistake."""
    with (
        SubprocessImplementation(command("hang", flight=4)) as port,  # it answers neither before both are sent
        pytest.raises(ValueError, match="two requests in flight have the id 'c'"),
    ):
        list(port.exchange(requests(["c", "c"])))


def test_memory_stays_bounded() -> None:
    """A flood of output makes the port wait; the harness does not grow."""
    with SubprocessImplementation(command("endless-lines"), Opening(timeout=0.5)) as port:
        answers = port.exchange(requests(["bad"]))
        process = port.current()
        assert process is not None
        process.send(request("bad")[1])
        assert until(lambda: process._channel.full)  # noqa: SLF001
        read = process._channel.read  # noqa: SLF001
        assert read < 30_000_000
        time.sleep(0.1)
        assert process._channel.read <= read + 65536  # noqa: SLF001
        assert [answer.kind for answer in answers] == ["timeout"]


def test_forgotten_port() -> None:
    """A port that nobody closed is ended when it is garbage-collected."""
    port = SubprocessImplementation(command("hang"))
    process = port.current()
    assert process is not None
    pid = process.pid
    del port, process
    assert until(lambda: not psutil.pid_exists(pid))
