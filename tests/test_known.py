"""Known failures: a run fails where the file is no longer correct."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path

import msgspec
import pytest
from command_line import called, sentence_of, small_port
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_check.errors import ConfigurationError
from backprop_check.running.known_failures import Entry, read_known, unlike_known, write_known
from backprop_check.running.one_case import FAILURES, Outcome, Result

CODES = {"wrong-1": ["BP102", "hidden-derivative-missing"], "wrong-2": ["BP102", "hidden-derivative-missing"]}


def results() -> list[Result]:
    """Two wrong cases with a name, one error, one pass, one that does not apply."""
    return [
        Result(id="wrong-1", outcome="mismatched"),
        Result(id="wrong-2", outcome="mismatched"),
        Result(id="dead", outcome="error"),
        Result(id="fine", outcome="passed"),
        Result(id="other", outcome="not_applicable"),
    ]


TRUE = [Entry("wrong-*", "mismatched", bug="BP102"), Entry("dead", "error", reason="no softmax yet")]


def test_all_as_known_is_no_news() -> None:
    """Patterns, a bug by its code or its name."""
    assert unlike_known(TRUE, results(), CODES) == []
    by_name = [Entry("wrong-?", "mismatched", bug="hidden-derivative-missing"), TRUE[1]]
    assert unlike_known(by_name, results(), CODES) == []
    assert unlike_known([Entry("wrong-*", "mismatched"), TRUE[1]], results(), CODES) == []


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([*TRUE, Entry("fine", "mismatched")], ["fine: passed where mismatched is known (remove the entry"]),
        ([TRUE[0], Entry("dead", "crash")], ["dead: error where crash is known"]),
        ([Entry("wrong-*", "mismatched", bug="BP107"), TRUE[1]], ["wrong-1: BP102", "where BP107 is known"]),
        ([*TRUE, Entry("gone-*", "mismatched")], ["the entry 'gone-*' matches no case: remove it"]),
        ([*TRUE, Entry("other", "mismatched")], ["the entry 'other' matches no case"]),
        ([TRUE[0]], ["dead: error, which is not known"]),
        ([], ["wrong-1: mismatched, which is not known", "dead: error, which is not known"]),
    ],
)
def test_everything_else_is_news(entries: list[Entry], said: list[str]) -> None:
    """An unexpected pass, another outcome, another bug, an entry without a case, a failure without an entry."""
    found = "\n".join(unlike_known(entries, results(), CODES))
    for text in said:
        assert text in found


def test_no_name_where_one_is_known() -> None:
    """A missing name differs from what is known, too."""
    (line, *_) = unlike_known(TRUE, results(), {})
    assert line == "wrong-1: no name fits where BP102 is known"


def test_rewriting_keeps_reasons_and_issues(tmp_path: Path) -> None:
    """The rewritten file is correct; reasons and issues that people wrote are kept, with their quotes."""
    path = tmp_path / "known.toml"
    reason, issue = 'he said "later" \\ maybe\n[[known]]', "https://example.org/7"
    old = [Entry("wrong-*", "mismatched", bug="BP107", reason=reason, issue=issue), Entry("gone", "error", reason="x")]
    write_known(path, old, results(), CODES)
    entries = read_known(path)
    assert unlike_known(entries, results(), CODES) == []
    assert [entry.id for entry in entries] == ["wrong-1", "wrong-2", "dead"]
    assert [(entry.reason, entry.issue) for entry in entries[:2]] == [(reason, issue)] * 2
    assert entries[2] == Entry("dead", "error")
    tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[known]]\nid = "x"\noutcom = "error"\n', "outcom"),
        ('[[known]]\nid = "x"\noutcome = "sad"\n', "'sad'"),
        ('[[known]]\nid = 3\noutcome = "error"\n', "Expected"),
        ('[known]\nid = "x"\n', "array"),
        ("[[known", "TOML"),
        ('[[failing]]\nid = "x"\n', "failing"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    """Its path, and what is expected."""
    path = tmp_path / "known.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_known(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.thorough
def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written, then correct (exit 0); after a fix it differs (exit 1); so does a new failure."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    run = ("run", small_port("hidden"), "--cases", "10", "--known", "known.toml")
    written = called(tmp_path, *run, "--update-known", "--no-diagnosis")
    assert written.exit_code == 0, written.output
    assert "known failures written" in written.output
    assert tomllib.loads((tmp_path / "known.toml").read_text())["known"]
    again = called(tmp_path, *run, "--no-diagnosis")
    assert again.exit_code == 0, again.output
    assert "Every failure is known" in again.output
    mended = called(tmp_path, "run", small_port(), *run[2:], "--no-diagnosis")
    assert mended.exit_code == 1
    assert "not as known" in mended.output
    assert "it is fixed" in mended.output


@pytest.mark.parametrize("option", [["--suite", "generated"], ["--case", "x"], ["--fail-fast"]])
def test_refused_on_a_filtered_run(tmp_path: Path, option: list[str]) -> None:
    """Cases that were not run must not be removed."""
    sentence = sentence_of(tmp_path, "run", "x", "--known", "k.toml", "--update-known", *option, code=2)
    assert "--update-known needs a run of all cases" in sentence
    assert not (tmp_path / "k.toml").exists()


def test_refused_sentences_need_no_implementation(tmp_path: Path) -> None:
    """A filtered check (without writing) does not call the cases gone that it has not run."""
    (tmp_path / "known.toml").write_text('[[known]]\nid = "mazur-*"\noutcome = "mismatched"\n')
    done = called(
        tmp_path, "run", small_port(), "--suite", "generated", "--cases", "2", "--known", "known.toml", "--no-diagnosis"
    )
    assert done.exit_code in (0, 1)
    assert "mazur-*" in done.output or done.exit_code == 0


TEXTS = st.text(max_size=30) | st.sampled_from(
    ["🐛 known since May", "\x7f\r\n\t\x00\x1b", '"""', "\\u0041", "\u2028", "[*]"]
)


@settings(deadline=None)  # how long an example takes depends on the machine
@given(
    st.dictionaries(TEXTS.filter(bool), st.tuples(st.sampled_from(FAILURES), TEXTS, TEXTS), min_size=1, max_size=5),
    st.sampled_from(["", "fine", "a*"]),
)
def test_what_is_written_is_read(failures: dict[str, tuple[Outcome, str, str]], passed: str) -> None:
    """Any id, any reason: the file is correct, and a second rewriting keeps what people wrote."""
    judged = [Result(id=case, outcome=outcome) for case, (outcome, _, _) in failures.items()]
    judged += [Result(id=passed, outcome="passed")] if passed and passed not in failures else []
    codes = {case: ["BP102"] for case in failures}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known.toml"
        write_known(path, [], judged, codes)
        bare = read_known(path)
        assert unlike_known(bare, judged, codes) == []
        reasoned = [
            msgspec.structs.replace(entry, reason=reason, issue=issue)
            for entry, (_, reason, issue) in zip(bare, failures.values(), strict=True)
        ]
        write_known(path, reasoned, judged, codes)
        assert read_known(path) == reasoned
        assert unlike_known(reasoned, judged, codes) == []


def test_more_than_can_be_read_is_not_written(tmp_path: Path) -> None:
    """The old file stays; the sentence says what to do."""
    path = tmp_path / "known.toml"
    path.write_text("known = []\n")
    many = [Result(id=f"mlp-{number}", outcome="error") for number in range(100_000)]
    with pytest.raises(ConfigurationError, match=r"100000 failing cases.*patterns such as mlp-"):
        write_known(path, [], many, {})
    assert read_known(path) == []


def test_a_file_with_a_mark_of_utf_8(tmp_path: Path) -> None:
    """Windows' editors put a BOM before the text."""
    path = tmp_path / "known.toml"
    path.write_text('[[known]]\nid = "x"\noutcome = "error"\n', encoding="utf-8-sig")
    assert read_known(path) == [Entry("x", "error")]


def test_of_an_unfinished_run_only_what_was_seen_is_news() -> None:
    """It cannot know which entries match no case, nor the names of bugs."""
    entries = [*TRUE, Entry("not-reached", "mismatched")]
    assert unlike_known(entries, results(), {}, complete=False) == []
    assert unlike_known([TRUE[0]], results(), {}, complete=False) == ["dead: error, which is not known"]
