"""The sandbox: how it is built, its message where it is not available, and what a port inside can reach."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import site
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from venv import create

import pytest
from protocol_support import LONG, SCRIPT, command, nothing_left, patiently, requests

from backprop_check.cases.generate import generated_case
from backprop_check.errors import ConfigurationError, StartError
from backprop_check.protocol import Limits, Opening, open_implementation, sandbox, unseen, view
from backprop_check.protocol.sandbox import sandbox_environment, sandbox_prefix
from backprop_check.protocol.unseen import PACKAGE
from backprop_check.running.one_case import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

linux = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that bwrap and prlimit are installed and work."""
    monkeypatch.setattr(sandbox, "_tools", lambda: ("/usr/bin/bwrap", "/usr/bin/prlimit"))


@pytest.fixture
def real() -> None:
    """Skip, with the message, where no sandbox is available."""
    try:
        sandbox._tools()  # noqa: SLF001
    except ConfigurationError as error:
        # Containers often forbid it even where all tools are installed.
        pytest.skip(str(error))


def follows(argv: list[str], *part: str) -> bool:
    return any(tuple(argv[i : i + len(part)]) == part for i in range(len(argv)))


@linux
@pytest.mark.usefixtures("tools")
def test_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, nothing writable but memory, no secrets, limits; the files that the command needs are readable."""
    home, hidden, work = tmp_path / "home", tmp_path / "solutions", tmp_path / "work"
    for folder in (home / ".ssh", hidden, work / "data"):
        folder.mkdir(parents=True)
    (home / ".netrc").write_text("password")
    (work / "answers.json").write_text("[]")
    monkeypatch.setenv("HOME", str(home))
    limits = Limits(cpu=7, memory=8 * 2**20, processes=None, file=9, scratch=10)
    argv = sandbox_prefix([sys.executable, str(SCRIPT), "fine"], cwd=work, limits=limits,
                          hidden=[hidden, work / "answers.json"])  # fmt: skip
    assert argv[0] == "/usr/bin/bwrap"
    assert {"--unshare-all", "--die-with-parent", "--new-session"} <= set(argv)
    assert "--share-net" not in argv
    assert "--bind" not in argv
    assert follows(argv, "--ro-bind", "/", "/")
    assert follows(argv, "--size", "10", "--tmpfs", "/tmp")  # noqa: S108
    assert follows(argv, "--tmpfs", str(home / ".ssh"))
    assert follows(argv, "--ro-bind", "/dev/null", str(home / ".netrc"))
    assert follows(argv, "--tmpfs", str(hidden))
    assert follows(argv, "--chdir", str(work))
    # The folder is under /tmp, which is hidden: it is mounted again, with the answers in it hidden again.
    again = argv.index(str(work))
    assert argv[again - 1] == "--ro-bind"
    assert argv[again:].count(str(work / "answers.json")) == 1
    rest = argv[argv.index("--") + 1 :]
    assert rest == ["/usr/bin/prlimit", "--core=0", "--cpu=7:12", f"--data={8 * 2**20}", "--fsize=9", "--"]


@linux
@pytest.mark.usefixtures("tools")
def test_processes_are_granted_on_top() -> None:
    """The limit of processes also counts the user's others, so it is larger than the requested one."""
    (limit,) = [part for part in sandbox_prefix([sys.executable], limits=Limits(processes=5)) if "--nproc" in part]
    assert int(limit.partition("=")[2]) > 5


@linux
@pytest.mark.usefixtures("tools")
def test_program_not_found() -> None:
    """The sentence names the program, not the sandbox."""
    with pytest.raises(StartError, match='the command "no-such-dart" was not found: install it'):
        open_implementation("no-such-dart run", Opening(sandbox=True))


def test_environment() -> None:
    """Variables that look like secrets are not handed on, others are."""
    env = {"PATH": "/bin", "HOME": "/root", "JAVA_HOME": "/j", "LANG": "C", "MONKEY": "1"}
    secret = {
        "GITHUB_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "DB_PASSWORD": "x",
        "SSH_AUTH_SOCK": "x",
        "API_KEY": "x",
    }
    assert sandbox_environment({**env, **secret}) == env
    assert "PATH" in sandbox_environment()


@pytest.mark.parametrize(
    ("platform", "found", "sentence"),
    [
        ("darwin", {}, "--sandbox works on Linux only: otherwise run the command in a container"),
        (
            "linux",
            {"prlimit": "/usr/bin/prlimit"},
            'needs bwrap, which was not found: install the package "bubblewrap"',
        ),
        ("linux", {"bwrap": "/usr/bin/bwrap"}, 'needs prlimit, which was not found: install the package "util-linux"'),
        (
            "linux",
            {"bwrap": shutil.which("false"), "prlimit": "x"},
            "does not let bwrap make a sandbox (it exited with",
        ),
        ("linux", {"bwrap": "/no/bwrap", "prlimit": "x"}, "does not let bwrap make a sandbox"),
    ],
)
def test_no_sandbox(platform: str, found: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no sandbox is available nothing is started, and the sentence says why and what to do."""
    monkeypatch.setattr("backprop_check.protocol.sandbox.sys.platform", platform)
    monkeypatch.setattr("backprop_check.protocol.sandbox.shutil.which", lambda name, **_: found.get(name))
    with pytest.raises(ConfigurationError) as caught:
        open_implementation(shlex.join(command("fine")), Opening(sandbox=True))
    assert sentence in str(caught.value)
    assert "docker run -i --network none" in str(caught.value)


def test_callable_cannot_be_held() -> None:
    """A Python callable runs inside the harness: a sandbox for it is refused before it is imported."""
    with pytest.raises(ConfigurationError, match="runs inside this process, to which --sandbox cannot apply"):
        open_implementation("python:no_such_module:f", Opening(sandbox=True))


PROBE = """
import json, os, signal, socket, sys, tempfile

def attempt(action):
    try:
        action()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"

def big_file():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with tempfile.TemporaryFile() as file:
        file.write(bytes(2 * 2**20))

def small_file():
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1000))

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        print(json.dumps({"protocol": 1}), flush=True)
        continue
    here = os.path.dirname(os.path.abspath(__file__))
    found = {
        "write": attempt(lambda: open(os.path.join(here, "x"), "w")),
        "write in home": attempt(lambda: open(os.path.expanduser("~/x"), "w")),
        "scratch": attempt(small_file),
        "big file": attempt(big_file),
        "network": attempt(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2)),
        "memory": attempt(lambda: bytearray(400 * 2**20)),
        "hidden": os.path.exists(sys.argv[2]),
        "processes": len([name for name in os.listdir("/proc") if name.isdigit()]) < 5,
        "token": os.environ.get("MY_TOKEN"),
        "own folder": os.path.exists(__file__),
    }
    print(json.dumps({"id": message["id"], "error": json.dumps(found)}), flush=True)
"""


@linux
@pytest.mark.usefixtures("real")
def test_a_port_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port in the sandbox answers as usual, and reaches neither the disk, the network, secrets nor other
    processes.
    """
    monkeypatch.setenv("MY_TOKEN", "secret")
    work, hidden = tmp_path / "work", tmp_path / "solutions"
    work.mkdir()
    hidden.mkdir()
    (hidden / "solution.json").write_text("{}")
    (work / "probe.py").write_text(PROBE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = [sys.executable, str(work / "probe.py"), str(server.getsockname()[1]), str(hidden / "solution.json")]
        limits = Limits(memory=300 * 2**20, file=2**20)
        with open_implementation(
            shlex.join(argv), Opening(sandbox=True, cwd=work, limits=limits, hidden=(hidden,), timeout=LONG)
        ) as port:
            assert port.describe().command == shlex.join(argv)
            (answer,) = port.exchange(requests(["c1"]))
    found: dict[str, Any] = json.loads(answer.message)
    assert found == {
        "write": "OSError",
        "write in home": "OSError",
        "scratch": "done",
        "big file": "OSError",
        "network": "ConnectionRefusedError",
        "memory": "MemoryError",
        "hidden": False,
        "processes": True,
        "token": None,
        "own folder": True,
    }
    assert not (work / "x").exists()


@linux
@pytest.mark.usefixtures("real")
def test_a_python_under_tmp_inside(tmp_path: Path) -> None:
    """Behind links, and as a virtual environment: the folder of its library is mounted too."""
    venv, links, work = tmp_path / "venv", tmp_path / "links", tmp_path / "work"
    links.mkdir()
    work.mkdir()
    (tmp_path / "real").mkdir()
    script = Path(shutil.copy(SCRIPT, tmp_path / "real"))
    create(venv, symlinks=True, with_pip=False)
    (links / "again").symlink_to(venv / "bin" / "python")
    (links / "python").symlink_to("again")
    (links / "port.py").symlink_to(script)
    for python, named in ((venv / "bin" / "python", script), (links / "python", links / "port.py")):
        rest = command("fine")
        argv = [str(python), str(named), *rest[rest.index(str(SCRIPT)) + 1 :]]
        with open_implementation(shlex.join(argv), Opening(sandbox=True, cwd=work)) as port:
            assert [each.kind for each in port.exchange(requests(["c1"]))] == ["reply"]


def test_where_a_program_and_its_library_are(tmp_path: Path) -> None:
    """Each link on the way, and the base of a virtual environment."""
    base, venv, links = tmp_path / "base", tmp_path / "venv", tmp_path / "links"
    for folder in (base / "bin", venv / "bin", links):
        folder.mkdir(parents=True)
    (base / "bin" / "python").touch()
    (venv / "bin" / "python").write_text("a copy")
    (venv / "pyvenv.cfg").write_text(f"include-system-site-packages = false\nhome = {base / 'bin'}\nversion = 3.11\n")
    (links / "python").symlink_to("../venv/bin/python")
    homes = sandbox.homes_of(links / "python")
    assert {links, venv, base} <= {each.resolve() for each in homes}


@linux
@pytest.mark.usefixtures("real")
def test_a_callable_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callable in a process of its own can be sandboxed as well."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "writes.py").write_text("def backprop(case):\n    open('x', 'w')\n")
    with open_implementation("python:writes:backprop", Opening(sandbox=True, timeout=LONG), isolated=True) as port:
        (answer,) = port.exchange(requests(["c1"]))
    assert answer.kind == "error"
    assert "Read-only file system" in answer.message


#: A submission without mathematics: it searches for the harness and its cached values, and answers with them.
#: Its arguments are the places to look in, so it is stronger than one that has to search.
ATTACK = """
import glob, json, os, subprocess, sys

KEPT = ("r.json", "old.json", "x.json", "later.csv", ".r.json.ahead")

def search():
    programs = [os.path.join(place, "python3") for place in os.environ.get("PATH", "").split(os.pathsep)]
    pythons = [sys.executable, *filter(os.path.exists, programs), *glob.glob(sys.argv[1] + "/bin/python*")]
    found = {"values": [], "modules": [], "variables": []}
    for place in sys.argv[2:]:
        for folder, _, names in os.walk(place):
            found["values"] += [os.path.join(folder, name) for name in names if name in KEPT or name.endswith(".chunk")]
    code = "import sys; sys.path[:0] = sys.argv[1:]; import backprop_check.compare.expected as e; print(e.__file__)"
    for python in dict.fromkeys(pythons):
        done = subprocess.run([python, "-c", code, *sys.argv[2:]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        place = done.stdout.decode().strip()  # a wrapper may end with 0 and have imported nothing
        found["modules"] += [[python, place]] if done.returncode == 0 and place else []
    found["variables"] = [name for name in os.environ if name.startswith(("BACKPROP_CHECK_CACHE", "VIRTUAL_ENV"))]
    return found

for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        found = search()
        print(json.dumps({"protocol": 1}), flush=True)
        continue
    reply = {"error": json.dumps(found)}
    if found["modules"]:
        sys.path[:0] = sys.argv[2:]
        print(found["modules"], file=sys.stderr)
        from backprop_check.compare.expected import expect
        from backprop_check.case.network import Case
        from backprop_check.compare.reply_form import as_reply
        case = Case.from_dict({key: value for key, value in message.items() if key not in ("type", "id")})
        right = expect(case)
        reply = as_reply(right.values, len(case.network.layers), form=right.form)
    print(json.dumps({"id": message["id"], **reply}), flush=True)
"""


def kept_and_written(work: Path) -> None:
    """The files that a grader's earlier run leaves for the next one."""
    (work / "uv" / "archive-v0" / "x" / "backprop_check").mkdir(parents=True)
    (work / "uv" / "archive-v0" / "x" / "backprop_check" / "x.json").write_text("{}")
    for name in (
        "cache/a.chunk",
        "pip/x.json",
        "compiled/x.json",
        "r.json",
        ".r.json.ahead",
        ".backprop-check/failures/x.json",
    ):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("{}")


@linux
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("callable_", [False, True])
def test_the_harness_and_what_it_keeps_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, callable_: bool
) -> None:
    """A submission that searches disk and PATH for the cache, the results and the harness finds nothing to answer with.

    Also where the command names the harness's own Python, and where it is a callable that runs by way of the package.
    """
    work, home = tmp_path / "work", tmp_path / "home"
    kept_and_written(work)
    home.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("BACKPROP_CHECK_CACHE", str(work / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(work))
    monkeypatch.setattr(sys, "pycache_prefix", str(work / "compiled"))
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    roots = [str(work), str(PACKAGE.parent), *site.getsitepackages()]
    (work / "mine").mkdir()
    attack = work / "mine" / "attack.py"
    attack.write_text(ATTACK)
    command = [sys.executable, str(attack), sys.prefix, *roots]
    if callable_:
        search = ATTACK.split("for line in", maxsplit=1)[0]
        code = f"{search}\nsys.argv = {command[1:]!r}\ndef answer(case):\n    raise ValueError(json.dumps(search()))\n"
        (work / "attack_callable.py").write_text(code)
    spec = "python:attack_callable:answer" if callable_ else shlex.join(command)
    case = generated_case(1)
    outputs = (work / "r.json", work / ".r.json.ahead", work / ".backprop-check", work / "later.csv")
    opening = Opening(sandbox=True, outputs=outputs, start_timeout=120, timeout=120)
    with open_implementation(spec, opening, isolated=True) as port:
        (work / "later.csv").write_text("expected")
        (work / "cache" / "b.chunk").write_text("made by this run")
        (work / "r.json").rename(work / "old.json")  # as a run does that rewrites its file
        (judged,) = list(judge([case], port))
    if judged.outcome != "error":
        print(*judged.notes, sep="\n")  # noqa: T201 - what was found, in full
    assert judged.outcome == "error", judged.message
    found = json.loads(judged.message.removeprefix("ValueError: "))
    assert found == {"values": [], "modules": [], "variables": []}


@linux
@pytest.mark.usefixtures("real")
def test_a_file_of_this_run_is_not_there_and_its_neighbours_are(tmp_path: Path) -> None:
    """The folder that a port runs in is complete except for the run's outputs; and nothing in it can be written."""
    work = tmp_path / "work"
    (work / "data").mkdir(parents=True)
    (work / "data" / "weights.txt").write_text("1")
    (work / "link").symlink_to("data")
    (work / "r.json").write_text("{}")
    script = work / "look.sh"
    seen = "$(echo $(ls -A; cat link/weights.txt; touch y))"
    script.write_text(f'read x; echo "{{\\"protocol\\": 1, \\"name\\": \\"{seen}\\"}}"; read x\n')
    opening = Opening(sandbox=True, cwd=work, outputs=(work / "r.json", work / "new" / "r.html"))
    with open_implementation("sh look.sh", opening) as port:
        assert port.describe().name.split() == ["data", "link", "look.sh", "1"]
    assert not (work / "y").exists()


def test_outputs_among_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder cannot be mounted without the outputs there is no sandbox, but an error."""
    monkeypatch.setattr(view, "_MOST_ENTRIES", 2)
    for name in "abc":
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigurationError, match=r"has more than 2 entries, too many to hide r\.json among"):
        view.View([], [], [], [tmp_path / "r.json"]).mounts(None, [])


@linux
def test_the_search_path_does_not_lead_to_the_harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``python3`` is the port's own; a program that only the harness's environment has keeps its path."""
    own, others, modules = tmp_path / "venv", tmp_path / "bin", tmp_path / "clone"
    for folder, names in ((own / "bin", ("python3", "only-here")), (others, ("python3",))):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
    (modules / "backprop_check").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(own))
    env = {
        "PATH": f"{own / 'bin'}:{others}",
        "VIRTUAL_ENV": str(own),
        "PYTHONPATH": f"{modules}:{others}",
        "BACKPROP_CHECK_CACHE": "/cache",
        "LANG": "C",
    }
    cleaned = {"PATH": str(others), "PYTHONPATH": str(others), "LANG": "C"}
    assert sandbox_environment(env, "python3") == cleaned
    assert sandbox_environment(env, str(own / "bin" / "python3")) == cleaned
    only = sandbox_environment(env, "only-here")
    assert (only["PATH"], only["VIRTUAL_ENV"]) == (env["PATH"], env["VIRTUAL_ENV"])
    assert "BACKPROP_CHECK_CACHE" not in only


@linux
@pytest.mark.usefixtures("tools")
def test_the_environment_of_the_harness_is_hidden_unless_it_is_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another Python its packages are hidden; its own Python has them, except the harness.

    A wrapper that leads to its own Python is another program: it runs, without packages.
    """
    own = tmp_path / "venv"
    create(own, symlinks=True, with_pip=False)
    (package,) = [each / "backprop_check" for each in (own / "lib").glob("python*/site-packages")]
    package.mkdir()
    monkeypatch.setattr(sys, "prefix", str(own))
    monkeypatch.setattr(sys, "path", [str(package.parent)])
    assert follows(sandbox_prefix(["/bin/sh"], cwd=tmp_path), "--tmpfs", str(package.parent))
    inside = sandbox_prefix([str(own / "bin" / "python")], cwd=tmp_path)
    assert not follows(inside, "--tmpfs", str(package.parent))
    assert inside[::-1].index(str(package)) < inside[::-1].index(str(own))  # hidden after the mount that would show it


@linux
@pytest.mark.usefixtures("real")
def test_a_wrapper_of_the_harness_python_runs(tmp_path: Path) -> None:
    """As with the shims of version managers, ``python3`` is a script that leads to it. It has no packages there."""
    if sys.prefix == sys.base_prefix:
        pytest.skip("the harness runs in no virtual environment, so that no packages are its own")
    wrapper = tmp_path / "python3"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    script = tmp_path / "port.py"
    script.write_text(
        "import importlib.util as u, json\ninput()\n"
        "found = [name for name in ('json', 'msgspec', 'torch') if u.find_spec(name)]\n"
        "print(json.dumps({'protocol': 1, 'name': ' '.join(found)}), flush=True)\ninput()\n"
    )
    with open_implementation(f"{wrapper} {script}", Opening(sandbox=True, cwd=tmp_path, start_timeout=60)) as port:
        assert port.describe().name == "json"


@linux
@pytest.mark.usefixtures("tools")
def test_a_link_does_not_show_what_is_hidden(tmp_path: Path) -> None:
    """A submission that is a link into another one cannot read the other's folder."""
    anna, berta = tmp_path / "anna", tmp_path / "berta"
    (berta / "src").mkdir(parents=True)
    (berta / "src" / "port.py").write_text("")
    anna.mkdir()
    (anna / "port.py").symlink_to(berta / "src" / "port.py")
    argv = sandbox_prefix(["/bin/sh", str(anna / "port.py")], cwd=anna, hidden=[berta])
    assert follows(argv, "--tmpfs", str(berta))
    assert str(berta / "src") not in argv


@linux
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("exit-seven", "exited with code 7"),
        ("hang", "no reply within {:g} s"),
        ("orphan-in-session", "exited with code 5"),
    ],
)
def test_faults_inside(behaviour: str, sentence: str) -> None:
    """A port's faults get the same messages inside as outside, and none of its processes are left."""

    def check(timeout: float) -> None:
        with open_implementation(shlex.join(command(behaviour)), Opening(sandbox=True, timeout=timeout)) as port:
            answers = {answer.id: answer for answer in port.exchange(requests(["c1", "bad", "c2"]))}
        assert sentence.format(timeout) in answers["bad"].message
        assert [answers[name].kind for name in ("c1", "c2")] == ["reply", "reply"]

    patiently(check, seconds=1.0 if behaviour == "hang" else 30.0)


@linux
@pytest.mark.usefixtures("real")
def test_processor_time(tmp_path: Path) -> None:
    """A port that only burns processor time is ended by its limit, with a message that says so."""
    port_file = tmp_path / "burn.py"
    port_file.write_text("import sys\nsys.stdin.readline()\nprint('{\"protocol\": 1}', flush=True)\nwhile True: pass\n")
    argv = shlex.join([sys.executable, str(port_file)])
    with open_implementation(argv, Opening(sandbox=True, limits=Limits(cpu=1), timeout=LONG, max_restarts=0)) as port:
        (answer,) = port.exchange(requests(["c1"]))
    assert answer.kind == "crash"
    assert "SIGXCPU" in answer.message
    assert "it used up the processor time it is allowed" in answer.message


def test_an_editable_install_in_another_environment_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python on the search path may lead to the harness by a .pth file: the place it names is hidden as well."""
    elsewhere, packages = tmp_path / "clone", tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    (elsewhere / "backprop_check").mkdir(parents=True)
    packages.mkdir(parents=True)
    (tmp_path / "venv" / "bin").mkdir()
    (packages / "editable.pth").write_text(f"# a comment\nimport site\n\n{elsewhere}\nnot-there\n")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "venv" / "bin"), os.environ["PATH"]]))
    assert (elsewhere / "backprop_check").resolve() in unseen.own_places()
