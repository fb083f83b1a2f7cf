"""A port that misbehaves as its first argument says, at cases whose id begins with "bad".

Plain Python without slow imports (json alone doubles its start): it is started hundreds of times.  All other
cases are answered with ``{"id": ..., "loss": 0.5}``.  ``flight=N`` sets max_in_flight, ``pid=FILE`` notes the ids of
processes.
"""

# ruff: noqa: PLC0415 (as above)
import os
import sys
import time
from _json import encode_basestring_ascii

BEHAVIOUR = sys.argv[1]
OPTIONS = dict(argument.split("=", 1) for argument in sys.argv[2:])
OUT = sys.stdout.buffer
SLEEP = "import time; time.sleep(3600)"


def write(data):
    OUT.write(data)
    OUT.flush()


def dumps(value):
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dumps(key)}: {dumps(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(dumps, value))}]"
    return repr(value)


def say(**fields):
    write(dumps(fields).encode() + b"\n")


def text_of(line, key):
    """The text of a key in a request of these tests, which contain no escapes."""
    return line.split(b'"%s"' % key, 1)[1].split(b'"', 2)[1].decode()


def note_pid(pid):
    if "pid" in OPTIONS:
        with open(OPTIONS["pid"], "a", encoding="ascii") as file:
            file.write(f"{pid}\n")


def grandchild(**options):
    import subprocess

    child = subprocess.Popen([sys.executable, "-S", "-E", "-c", SLEEP], **options)
    note_pid(child.pid)


def endless(data):
    while True:
        write(data)


def hello():
    reply = {"protocol": 1, "name": "scripted", "language": "Python", "max_in_flight": int(OPTIONS.get("flight", 1))}
    if "echo" in OPTIONS:
        reply["echo"] = OPTIONS["echo"]
    if "dtype" in OPTIONS:
        reply["dtype"] = OPTIONS["dtype"]
    HELLOS.get(BEHAVIOUR, greet)(reply)


def greet(reply):
    echo = reply.pop("echo", None)
    text = dumps(reply)
    write(f'{text[:-1]}, "echo": {echo}}}\n'.encode() if echo else text.encode() + b"\n")


def dies_at_start(_):
    sys.stderr.write("Traceback: no module named numpy\n")
    sys.exit(3)


def hello_text(_):
    write(b"hello yourself\n")
    time.sleep(3600)


def noisy_hello(reply):
    write(b"loading weights\n")
    say(**reply)


def once(reply):
    """Say hello on the first start only, then fail."""
    if os.path.exists(OPTIONS["flag"]):
        sys.exit(4)
    open(OPTIONS["flag"], "w", encoding="ascii").close()
    say(**reply)


HELLOS = {
    "no-hello": lambda _: time.sleep(3600),
    "wrong-protocol": lambda _: say(protocol=2),
    "dies-at-start": dies_at_start,
    "hello-text": hello_text,
    "hello-malformed": lambda _: say(protocol=1, dtype="float16"),
    "hello-too-long": lambda _: write(b"x" * 5_000_000),
    "hello-once": once,
    "noisy-hello": noisy_hello,
    "hello-eats-memory": lambda _: eat_memory(None),
    "hello-endless-lines": lambda _: endless(b"debug\n" * 10_000),
    "hello-deep": lambda _: write(b'{"protocol": 1, "echo": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"),
    "hostile-hello": lambda _: say(protocol=1, name="\x1b[31m<b>net</b>\u202e", language="a\nb", version="\ud800"),
}


def crash(_):
    os.kill(os.getpid(), 11)


def exit_zero(_):
    sys.exit(0)


def exit_seven(_):
    sys.stderr.write("first\nValueError: shapes \x1b[31mdo not match\n")
    sys.exit(7)


def hang(_):
    time.sleep(3600)


def stubborn(_):
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild()
    time.sleep(3600)


def half_line(name):
    write(b'{"id": "%s", "loss": 0.' % name.encode())
    os._exit(0)


def half_line_hang(name):
    write(b'{"id": "%s", "loss": 0.' % name.encode())
    time.sleep(3600)


def no_newline(name):
    write(b'{"id": "%s", "loss": 0.25}' % name.encode())
    os._exit(0)


def raw(data):
    return lambda name: write(data.replace(b"ID", name.encode()))


def noise(name):
    write(b"before\n[1, 2]\n\n")
    say(id=name, loss=0.5)
    write(b"after\x1b[2J\n")


def much_noise(name):
    write(b"debug print\n" * 10_000)
    say(id=name, loss=0.5)


def one_byte_a_moment(name):
    for byte in b'{"id": "%s", "loss": 0.5, "traceback": "%s"}\n' % (name.encode(), b"x" * 1000):
        write(bytes([byte]))
        time.sleep(0.05)


def twice(name):
    say(id=name, loss=0.5)
    say(id=name, loss=0.75)


def wrong_then_right(name):
    say(id="other", loss=0.75)
    say(id=name, loss=0.5)


def close_stdin(_):
    os.close(0)
    time.sleep(3600)


def close_stdout(_):
    os.close(1)
    time.sleep(3600)


def orphan(_):
    grandchild()
    os._exit(5)


def orphan_in_session(_):
    grandchild(start_new_session=True)
    os._exit(5)


def daemon(name):
    null = -3  # subprocess.DEVNULL
    grandchild(start_new_session=True, stdin=null, stdout=null, stderr=null)
    say(id=name, loss=0.5)


def escapes(name):
    """Detach like a daemon, and further: fork twice, leave the session, close the pipes, leave the folder and
    environment.
    """
    ready, done = os.pipe()
    first = os.fork()
    if first == 0:
        os.setsid()
        if os.fork() == 0:
            note_pid(os.getpid())
            os.write(done, b"x")
            os.chdir("/")
            nothing = os.open(os.devnull, os.O_RDWR)
            for standard in range(3):
                os.dup2(nothing, standard)
            os.execve(sys.executable, [sys.executable, "-S", "-E", "-c", SLEEP], {})  # noqa: S606 (no shell)
        os._exit(0)
    os.waitpid(first, 0)
    os.read(ready, 1)
    say(id=name, loss=0.5)


def escapes_and_dies(name):
    escapes(name)
    os._exit(5)


def flood_stderr(name):
    for _ in range(200):
        sys.stderr.write("log \x1b[31m" * 1000)
    sys.stderr.write("the end\n")
    sys.stderr.flush()
    time.sleep(float(OPTIONS.get("seconds", 0.1)))
    say(id=name, loss=0.5)


def big(name):
    write(b'{"id": "%s", "input_gradients": [%s]}\n' % (name.encode(), b", ".join([b"0.123456789"] * 900_000)))


def texts(name):
    write(b'{"id": "%s", "error": "\\u001b[31mred\\u202e \\ud800 \\u0007", "traceback": "x"}\n' % name.encode())


def eat_memory(_):
    """Grow by 16 MiB at a time, up to 2 GiB: where nobody stops it, the machine must not suffer."""
    hoard = []
    for _ in range(128):
        hoard.append(b"x" * 2**24)
        time.sleep(0.005)
    time.sleep(3600)


def eat_memory_in_child(_):
    code = "import time; hoard = b'x' * 2**28; time.sleep(3600)"
    import subprocess

    note_pid(subprocess.Popen([sys.executable, "-S", "-c", code]).pid)
    time.sleep(3600)


def keep_pipe(name):
    grandchild()
    say(id=name, loss=0.5)


def canned(_, lines=[]):  # noqa: B006 (it is meant to last)
    if not lines:
        with open(OPTIONS["replies"], "rb") as file:
            lines.extend(reversed(file.read().splitlines(keepends=True)))
    write(lines.pop())


def sometimes_slow(name):
    if name.endswith("slow"):
        time.sleep(float(OPTIONS["seconds"]))
    say(id=name, loss=0.5)


def late(name):
    """Answer the previous case once more, then this one."""
    say(id="c1", loss=0.75)
    say(id=name, loss=0.5)


def every_text(name):
    """Put text that acts on terminals, browsers and markup into every text field."""
    nasty = OPTIONS["nasty"].encode("ascii").decode("unicode_escape")
    sys.stderr.buffer.write(nasty.encode("utf-8", "surrogatepass") + b"\n")
    sys.stderr.flush()
    time.sleep(float(OPTIONS["seconds"]))
    write(nasty.replace("\n", " ").encode("utf-8", "surrogatepass") + b"\n")
    say(id="other" + nasty, loss=0.5)
    fields = {"id": name, nasty: nasty, "issue_url": nasty, "traceback": nasty}
    fields["skip" if name.endswith("skip") else "error"] = nasty
    write(dumps(fields)[:-1].encode() + b', "twice": 1, "twice": 2}\n')


def slowly(name):
    time.sleep(float(OPTIONS["seconds"]))
    say(id=name, loss=0.5)


FAULTS = {
    "crash": crash,
    "exit-zero": exit_zero,
    "exit-seven": exit_seven,
    "hang": hang,
    "stubborn": stubborn,
    "half-line": half_line,
    "half-line-hang": half_line_hang,
    "no-newline": no_newline,
    "invalid-utf8": raw(b'{"id": "ID", "error": "caf\xe9"}\n'),
    "binary": raw(b"\xff\xfe\x00\x80\n"),
    "noise": noise,
    "much-noise": much_noise,
    "array": raw(b'[{"id": "ID"}]\n{"id": "ID", "loss": 0.5}\n'),
    "no-id": raw(b'{"loss": 0.5}\n'),
    "id-number": raw(b'{"id": 7, "loss": 0.5}\n'),
    "wrong-type": raw(b'{"id": "ID", "layers": [{"gradients": [1]}]}\n'),
    "bad-json": raw(b'{"id": "ID", "loss": 0.5, }\n'),
    "deep": raw(b'{"id": "ID", "loss": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"),
    "huge-numbers": raw(b'{"id": "ID", "loss": 1e999, "input_gradients": [[' + b"9" * 400 + b", NaN]]}\n"),
    "duplicate-keys": raw(b'{"id": "ID", "loss": 0.25, "loss": 0.5}\n'),
    "crlf": raw(b'{"id": "ID", "loss": 0.5}\r\n'),
    "endless-line": lambda _: endless(b"x" * 65536),
    "endless-lines": lambda _: endless(b"debug\n" * 10_000),
    "endless-empty-lines": lambda _: endless(b"\n" * 65536),
    "endless-replies": lambda _: endless(b'{"id": "else", "loss": 0.5}\n' * 1000),
    "slow-bytes": one_byte_a_moment,
    "twice": twice,
    "wrong-id": raw(b'{"id": "other", "loss": 0.5}\n'),
    "wrong-then-right": wrong_then_right,
    "close-stdin": close_stdin,
    "close-stdout": close_stdout,
    "orphan": orphan,
    "orphan-in-session": orphan_in_session,
    "daemon": daemon,
    "escapes": escapes,
    "escapes-and-dies": escapes_and_dies,
    "flood-stderr": flood_stderr,
    "big": big,
    "texts": texts,
    "slowly": slowly,
    "sometimes-slow": sometimes_slow,
    "eats-memory": eat_memory,
    "eats-memory-in-child": eat_memory_in_child,
    "keeps-pipe": keep_pipe,
    "canned": canned,
    "late": late,
    "every-text": every_text,
    "endless-malformed": lambda _: endless(b'{"id": 7, "loss": 0.5}\n' * 1000),
    "endless-bad-json": lambda _: endless(b'{"id": "bad", "loss": }\n' * 1000),
    "skip": raw(b'{"id": "ID", "skip": "no softmax", "issue_url": "https://example.org/1"}\n'),
}


def serve_reversed():
    """Answer in groups of four, each group in reverse order."""
    group = []
    for line in sys.stdin.buffer:
        if text_of(line, b"type") == "hello":
            hello()
            continue
        group.append(text_of(line, b"id"))
        if len(group) == 4:
            for name in reversed(group):
                say(id=name, loss=0.5)
            group = []


def serve_starving():
    """Answer all but the "bad" case, for as long as others arrive."""
    for line in sys.stdin.buffer:
        if text_of(line, b"type") == "hello":
            hello()
        elif not text_of(line, b"id").startswith("bad"):
            say(id=text_of(line, b"id"), loss=0.5)


def fault_at(name):
    """The fault at this case; None for none."""
    bad = name.startswith("bad")
    if BEHAVIOUR == "mixed":
        return FAULTS[name.split("~")[1]] if bad else None
    if BEHAVIOUR == "always-dies":
        return crash
    if BEHAVIOUR.startswith("all-"):
        return FAULTS[BEHAVIOUR.removeprefix("all-")]
    return FAULTS.get(BEHAVIOUR) if bad else None


def main():
    note_pid(os.getpid())
    if BEHAVIOUR == "reversed":
        return serve_reversed()
    if BEHAVIOUR == "starving":
        return serve_starving()
    for line in sys.stdin.buffer:
        if text_of(line, b"type") == "hello":
            hello()
            if BEHAVIOUR == "only-hello":
                return None
            continue
        name = text_of(line, b"id")
        fault = fault_at(name)
        if fault is not None:
            fault(name)
        else:
            say(id=name, loss=0.5)
            if BEHAVIOUR == "dies-after-reply" and name.startswith("last"):
                os._exit(6)
            if BEHAVIOUR == "deaf-after-reply" and name.startswith("last"):
                os.close(0)
                time.sleep(3600)
            if BEHAVIOUR == "one-line":
                return None
    if BEHAVIOUR == "ignores-eof":
        time.sleep(3600)
    return None


main()
