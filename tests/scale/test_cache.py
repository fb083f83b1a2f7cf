"""Cached expected values: the same results, sooner; a damaged cache is noticed; concurrent runs, bounds."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from scale_support import finish, odd, without_times

from backprop_check.cases.generate import generated_case
from backprop_check.cases.plan import Plan
from backprop_check.protocol import Opening, open_implementation
from backprop_check.protocol.unseen import user_folder
from backprop_check.running import witness_cache as cache_module
from backprop_check.running.chunks import CHUNK, Work, alone
from backprop_check.running.one_case import Settings, witnesses
from backprop_check.running.witness_cache import Cache, Entry

if TYPE_CHECKING:
    from backprop_check.running.one_case import Judged

PACKAGE = Path(cache_module.__file__).parents[1]


def _run(cache: Cache | None, count: int = 40, **port: Any) -> list[Judged]:
    plan = Plan(count=count, suites=("edge", "generated"))
    work = Work(spec="", opening=Opening(), plan=plan, settings=Settings(), cache=cache)
    with open_implementation(odd(**port)) as implementation:
        return list(alone(work, implementation)(0))


def _plain(found: list[Judged]) -> list[bytes]:
    return [msgspec.json.encode(msgspec.structs.replace(each.result, seconds=0.0)) for each in found]


@pytest.mark.thorough
@pytest.mark.parametrize("port", [{}, {"bug": "delta"}, {"error": 5, "supports": "relu,tanh,identity"}])
def test_a_warm_run_gives_what_a_cold_one_gives(
    port: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a cache, with a cold and with a warm one; with a warm one the witnesses compute only the failures."""
    cache = Cache(tmp_path, "float64", "textbook")
    without, cold = _plain(_run(None, **port)), _plain(_run(cache, **port))
    asked = []
    monkeypatch.setattr("backprop_check.running.chunks.witnesses", lambda *arguments: asked.append(arguments))
    warm = _run(Cache(tmp_path, "float64", "textbook"), **port)
    assert without == cold == _plain(warm)
    assert asked == []
    assert {each.case.id for each in warm} == {each.case.id for each in _run(None, **port)}


def test_values_come_back_bit_by_bit() -> None:
    """Shapes, order and bits of values and bounds, and the unstable alternatives."""
    for number in (3, 5, 8):
        case = generated_case(number).rounded("float32")
        expected = witnesses(case, "float32")
        entry = Entry.of(case, "float32")
        entry.fill(expected)
        assert entry.whole
        assert entry.request == case.request("float32")
        again, found = entry.read("float32", "textbook")
        assert (again, again.id) == (case, case.id)
        assert found is not None
        assert list(found.values) == list(expected.values)
        for slot, array in expected.values.items():
            assert found.values[slot].tobytes() == array.tobytes()
            assert found.values[slot].shape == array.shape
            assert found.allowed[slot].tobytes() == expected.allowed[slot].tobytes()
        assert found.alternatives is not None
        assert expected.alternatives is not None
        kinds = [each.formula for each in expected.alternatives()]
        assert [each.formula for each in found.alternatives()] == kinds


def test_a_damaged_cache_is_noticed_and_made_again(tmp_path: Path) -> None:
    """A flipped bit, a truncation, an empty file, nonsense with the right hash: deleted, computed again, saved
    again.
    """
    reference = _plain(_run(Cache(tmp_path, "float64", "textbook")))
    files = sorted(tmp_path.glob("*.chunk"))
    whole = [path.read_bytes() for path in files]
    for number, path in enumerate(files):
        data = bytearray(whole[number])
        data[len(data) // 2] ^= 1 << number % 8
        short = [bytes(data), whole[number][: len(data) // 3], b"", whole[number][:32]]
        path.write_bytes(short[number % 4])
    assert _plain(_run(Cache(tmp_path, "float64", "textbook"))) == reference
    assert [path.read_bytes() for path in files] == whole
    body = b"\xc1" * 100
    files[0].write_bytes(hashlib.sha256(body).digest() + body)
    assert _plain(_run(Cache(tmp_path, "float64", "textbook"))) == reference


def test_what_a_value_depends_on_is_in_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other cases, dtype, profile, version or machine give another file."""
    plan = Plan(suites=("generated",), seed=1)
    labels = [plan.label(position) for position in range(CHUNK)]
    other = [Plan(suites=("generated",), seed=2).label(position) for position in range(CHUNK)]
    paths = {
        Cache(tmp_path, "float64", "textbook").path(labels),
        Cache(tmp_path, "float32", "textbook").path(labels),
        Cache(tmp_path, "float64", "strict").path(labels),
        Cache(tmp_path, "float64", "textbook").path(other),
        Cache(tmp_path, "float64", "textbook", supports={"batch": False}).path(labels),
        Cache(tmp_path, "float64", "textbook").path(labels[:-1]),
    }
    monkeypatch.setattr(cache_module, "_surroundings", lambda: ["another version of torch"])
    paths.add(Cache(tmp_path, "float64", "textbook").path(labels))
    assert len(paths) == 7


def test_every_source_that_values_can_come_from_is_in_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed, new or renamed module, or another version, gives other files. Modules that only display results
    do not count.
    """
    package = tmp_path / "backprop_check"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "_cases", "*.json", "assets"))
    surroundings = cache_module._surroundings.__wrapped__  # noqa: SLF001 - as after an upgrade: nothing is remembered
    before = surroundings(package)
    only_told = {"commands", "explain", "guide", "ports", "report"}
    for path in sorted(package.rglob("*.py")):
        source = path.read_bytes()
        path.write_bytes(source + b"\n")
        told = path.relative_to(package).parts[0] in only_told
        assert (surroundings(package) == before) == told, path
        path.write_bytes(source)
    assert surroundings(package) == before
    (package / "kinds" / "new.py").write_text("")
    assert surroundings(package) != before
    (package / "kinds" / "new.py").rename(package / "new.py")
    assert surroundings(package) != before
    (package / "new.py").unlink()
    monkeypatch.setattr(cache_module, "__version__", "9.9.9")
    assert surroundings(package) != before


@pytest.mark.thorough
def test_what_is_not_in_the_name_is_never_asked_for_a_value() -> None:
    """A fresh interpreter that computes values imports none of the folders that the name leaves out."""
    code = (
        "import sys, backprop_check.running.chunks, backprop_check.witness.autograd, backprop_check.cases.files\n"
        "print(*sorted({each.split('.')[1] for each in sys.modules if each.startswith('backprop_check.')}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    used = set(done.stdout.split())
    assert {"kinds", "witness", "case", "compare"} <= used
    assert not used & {"commands", "explain", "guide", "ports", "report"}


def test_it_is_bounded(tmp_path: Path) -> None:
    """Nothing is added beyond the bound; at the start of a run the least recently used files are removed."""
    _run(Cache(tmp_path, "float64", "textbook", largest=1_000_000), count=200)
    files = list(tmp_path.iterdir())
    total = sum(path.stat().st_size for path in files)
    assert 500_000 < total <= 1_001_000
    for age, path in enumerate(files):
        os.utime(path, (10**9 - age, 10**9 - age))
    Cache(tmp_path, "float64", "textbook", largest=total).tidy()
    left = list(tmp_path.iterdir())
    assert left
    assert sum(path.stat().st_size for path in left) <= 0.7 * total
    assert set(left) == set(files[: len(left)])


def test_runs_at_the_same_time(tmp_path: Path) -> None:
    """Several runs fill one cache at once, and read files that others write: all results are right."""
    reference, found = _plain(_run(None)), {}

    def one(number: int) -> None:
        found[number] = _plain(_run(Cache(tmp_path, "float64", "textbook")))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [reference] * 4
    assert all(path.suffix == ".chunk" for path in tmp_path.iterdir())


def test_without_a_place_there_is_no_cache(tmp_path: Path) -> None:
    """A file in place of the folder: the results are those without a cache."""
    (tmp_path / "file").write_text("")
    assert _plain(_run(Cache(tmp_path / "file" / "x", "float64", "textbook"))) == _plain(_run(None))


@pytest.mark.thorough
def test_the_command_line_uses_it(tmp_path: Path) -> None:
    """The results are the same byte for byte; --no-cache saves nothing."""
    environment = {**os.environ, "BACKPROP_CHECK_CACHE": str(tmp_path / "cache")}
    paths = [tmp_path / f"{name}.json" for name in ("without", "cold", "warm")]
    for path in paths:
        options = ["--no-cache"] if path.stem == "without" else []
        code, out = finish("run", odd(), "--cases", 20, "--json", path, *options, cwd=tmp_path, env=environment)
        assert code == 0, out
        assert (tmp_path / "cache").exists() == (path.stem != "without")
    assert len({without_times(path) for path in paths}) == 1


def test_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BACKPROP_CHECK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert user_folder() == tmp_path / "backprop-check"
    monkeypatch.setenv("BACKPROP_CHECK_CACHE", str(tmp_path / "mine"))
    assert user_folder() == tmp_path / "mine"
