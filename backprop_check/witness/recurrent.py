"""Recurrent layers in PyTorch's own ``rnn_tanh``, ``rnn_relu``, ``gru`` and ``lstm``: one call per direction of a
layer.

PyTorch does not expose the pre-activations z. Here every gate gets one more input with weight 1 and value 0, whose
gradient is δ; z itself is computed from the states that PyTorch returns. What PyTorch does not have (peepholes, a reset
before the product) is written out for autograd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

if TYPE_CHECKING:
    from collections.abc import Callable

#: Tensors by name: states, or the parameters of a direction.
State = dict[str, torch.Tensor]


def _recurrent(layer: Any, x: torch.Tensor, p: State, _case: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        _, known = _run(layer, x, p, None)
    z = known.clone().requires_grad_()
    a, _ = _run(layer, x, p, z - known)
    return a, z


def _run(layer: Any, x: torch.Tensor, p: State, more: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The output and z; ``more`` is added to every z. Samples with different lengths are run one by one."""
    if layer.lengths is None:
        return _of_length(layer, x, p, more)
    steps, parts = x.shape[1], []
    for s, length in enumerate(layer.lengths):
        one = slice(s, s + 1)
        a, z = _of_length(layer, x[one, :length], p, None if more is None else more[one, :length])
        rest = (0, 0, 0, steps - length)
        parts.append((F.pad(a, rest) if layer.return_sequences else a, F.pad(z, rest)))
    return torch.cat([a for a, _ in parts]), torch.cat([z for _, z in parts])


def _of_length(layer: Any, x: torch.Tensor, p: State, more: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """All directions of all layers, one after the other, for sequences of one length."""
    width = len(layer.gates) * layer.hidden_size
    zs: list[torch.Tensor] = []
    outs: list[torch.Tensor] = []
    last: list[torch.Tensor] = []
    for run, (suffix, _, backwards) in enumerate(layer.runs()):
        own = {name.removesuffix(suffix): each for name, each in p.items() if name.endswith(suffix)}
        initial = {
            state: p[f"{state}0"][run].expand(len(x), -1)
            if f"{state}0" in p
            else x.new_zeros(len(x), layer.hidden_size)
            for state in layer.states
        }
        added = None if more is None else more[:, :, run * width : (run + 1) * width]
        out, z = _direction(layer, x, own, initial, added, backwards=backwards)
        outs.append(out)
        zs.append(z)
        if len(outs) == layer.directions:
            x, last, outs = torch.cat(outs, 2), outs, []
    ends = [each[:, 0 if n else -1] for n, each in enumerate(last)]
    return (x if layer.return_sequences else torch.cat(ends, 1)), torch.cat(zs, 2)


def _direction(
    layer: Any, x: torch.Tensor, p: State, state: State, more: Any, *, backwards: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The states of every step, and z: chunk by chunk; the state before each chunk but the first is detached."""
    chunks = [slice(*each) for each in _chunks(x.shape[1], layer.truncate)]
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for number, chunk in enumerate(reversed(chunks) if backwards else chunks):
        if number:
            state = {name: each.detach() for name, each in state.items()}
        part, added = x[:, chunk], None if more is None else more[:, chunk]
        if backwards:
            part, added = part.flip(1), None if added is None else added.flip(1)
        out, z, state = _CHUNKS[_way(layer)](part, p, state, added)
        found.append((out.flip(1), z.flip(1)) if backwards else (out, z))
    if backwards:
        found.reverse()
    return torch.cat([out for out, _ in found], 1), torch.cat([z for _, z in found], 1)


def _chunks(steps: int, every: int | None) -> list[tuple[int, int]]:
    every = every or steps
    return [(first, min(first + every, steps)) for first in range(0, steps, every)]


def _way(layer: Any) -> str:
    if layer.kind == "rnn":
        return f"rnn_{layer.nonlinearity}"
    if layer.kind == "gru":
        return "gru" if layer.reset_after else "gru_reset_before"
    return "lstm_peepholes" if layer.peepholes else "lstm"


Chunk = tuple[torch.Tensor, torch.Tensor, State]


def _own_function(name: str) -> Callable[..., Chunk]:
    """PyTorch's own function, as a function of a chunk."""

    def chunk(x: torch.Tensor, p: State, state: State, more: Any) -> Chunk:
        w, u = p["weight_ih"], p["weight_hh"]
        zeros = w.new_zeros(len(w))
        biases = [p.get("bias_ih", zeros), p.get("bias_hh", zeros)]
        given = {key: each[None].contiguous() for key, each in state.items()}
        read, weights = x, w
        if more is not None:
            read = torch.cat([x, more], 2)
            weights = torch.cat([w, torch.eye(len(w), dtype=w.dtype)], 1)
        hx = (given["h"], given["c"]) if name == "lstm" else given["h"]
        made = getattr(torch, name)(read, hx, [weights, u, *biases], True, 1, 0.0, False, False, True)  # noqa: FBT003
        out, after = made[0], {key: each[0] for key, each in zip(state, made[1:], strict=True)}
        before = torch.cat([state["h"][:, None], out[:, :-1]], 1).detach()
        from_x, from_h = F.linear(x, w, biases[0]), F.linear(before, u, biases[1])
        z = from_x + from_h
        if name == "gru":
            z_r, z_z, _ = z.chunk(3, 2)
            n = from_x.chunk(3, 2)[2] + torch.sigmoid(z_r) * from_h.chunk(3, 2)[2]
            z = torch.cat([z_r, z_z, n], 2)
        return out, z, after

    return chunk


def _step_by_step(step: Callable[..., tuple[State, torch.Tensor]]) -> Callable[..., Chunk]:
    """A step that is written out, as a function of a chunk."""

    def chunk(x: torch.Tensor, p: State, state: State, more: Any) -> Chunk:
        outs, zs = [], []
        for t in range(x.shape[1]):
            from_x = F.linear(x[:, t], p["weight_ih"], p.get("bias_ih"))
            state, z = step(p, state, from_x if more is None else from_x + more[:, t])
            outs.append(state["h"])
            zs.append(z)
        return torch.stack(outs, 1), torch.stack(zs, 1), state

    return chunk


def _gru_reset_before(p: State, state: State, from_x: torch.Tensor) -> tuple[State, torch.Tensor]:
    h, u, biases = (
        state["h"],
        p["weight_hh"].chunk(3),
        p.get("bias_hh", torch.zeros_like(p["weight_hh"][:, 0])).chunk(3),
    )
    x_r, x_z, x_n = from_x.chunk(3, 1)
    z_r, z_z = x_r + F.linear(h, u[0], biases[0]), x_z + F.linear(h, u[1], biases[1])
    z_n = x_n + F.linear(torch.sigmoid(z_r) * h, u[2], biases[2])
    return {"h": torch.lerp(torch.tanh(z_n), h, torch.sigmoid(z_z))}, torch.cat([z_r, z_z, z_n], 1)


def _lstm_peepholes(p: State, state: State, from_x: torch.Tensor) -> tuple[State, torch.Tensor]:
    i, f, g, o = (from_x + F.linear(state["h"], p["weight_hh"], p.get("bias_hh"))).chunk(4, 1)
    at_i, at_f, at_o = p["peephole"]
    i, f = torch.addcmul(i, at_i, state["c"]), torch.addcmul(f, at_f, state["c"])
    cell = torch.addcmul(torch.sigmoid(f) * state["c"], torch.sigmoid(i), torch.tanh(g))
    o = torch.addcmul(o, at_o, cell)
    return {"h": torch.sigmoid(o) * torch.tanh(cell), "c": cell}, torch.cat([i, f, g, o], 1)


_CHUNKS: dict[str, Callable[..., Chunk]] = {
    **{name: _own_function(name) for name in ("rnn_tanh", "rnn_relu", "gru", "lstm")},
    "gru_reset_before": _step_by_step(_gru_reset_before),
    "lstm_peepholes": _step_by_step(_lstm_peepholes),
}

LAYERS = {"rnn": _recurrent, "gru": _recurrent, "lstm": _recurrent}
