"""The bundled Python port with oddities: ``odd_port.py KEY=VALUE...``.

``sleep=S``: seconds per case.  ``bug=delta``: the hidden layers' bias gradients are twice what they should be.
``crash=N`` / ``error=N``: one case in N, by its id, ends the process / is answered with an error.  ``noise=1``: a
line before the hello.  ``supports=relu``: only these activations.  ``pid=FILE``: its process id is appended there.
``log=FILE``: the id of every answered case is appended there.  ``slow=ID``: this case waits for a file ``go``.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "backprop_check" / "ports" / "python"))

import port  # type: ignore[import-not-found]

OPTIONS = dict(argument.split("=", 1) for argument in sys.argv[1:])


def hit(key: str, name: str) -> bool:
    return key in OPTIONS and zlib.crc32(f"{key}{name}".encode()) % int(OPTIONS[key]) == 0


def answer(line: bytes) -> dict[str, Any]:
    request = json.loads(line)
    reply: dict[str, Any] = port.answer(line)
    if request["type"] == "hello":
        if "supports" in OPTIONS:
            reply["supports"]["activations"] = OPTIONS["supports"].split(",")
        return reply
    time.sleep(float(OPTIONS.get("sleep", "0")))
    name = request["id"]
    while name == OPTIONS.get("slow") and not Path("go").exists():
        time.sleep(0.05)
    if "log" in OPTIONS:
        with Path(OPTIONS["log"]).open("a", encoding="ascii") as file:
            file.write(f"{name}\n")
    if hit("crash", name):
        os._exit(7)
    if hit("error", name):
        return {"id": name, "error": "no such case here"}
    if OPTIONS.get("bug") == "delta":
        for layer in reply["layers"][:-1]:
            layer["gradients"]["biases"] = [2 * each for each in layer["gradients"]["biases"]]
    return reply


def main() -> None:
    if "pid" in OPTIONS:
        with Path(OPTIONS["pid"]).open("a", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    if "noise" in OPTIONS:
        print("loading weights", flush=True)  # noqa: T201 - on purpose
    for line in sys.stdin.buffer:
        sys.stdout.write(port.to_json(answer(line)) + "\n")
        sys.stdout.flush()


main()
