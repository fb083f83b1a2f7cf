"""PyTorch's recurrent modules for ``torch_layers``; what they do not have is written with its cells' operations.

The modules do not show their gates' pre-activations, so z and delta are left out of the reply.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def recurrent(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    """A module with the layer's parameters: PyTorch's own where it can do what is asked."""
    given, depth = layer["parameters"], layer.get("num_layers", 1)
    both = layer.get("bidirectional", False)
    beyond = not layer.get("reset_after", True) or any(name.startswith("peephole") for name in given)
    unusual = layer.get("truncate") and (both or layer.get("lengths"))
    module: nn.Module
    if beyond or unusual:
        module = Unrolled(layer)
    else:
        more = {"nonlinearity": layer.get("nonlinearity", "tanh")} if layer["kind"] == "rnn" else {}
        kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[layer["kind"]]
        biases = any(name.startswith("bias") for name in given)
        module = kind(shape[1], layer["hidden_size"], depth, bias=biases, batch_first=True, bidirectional=both, **more)
        for parameter in module.parameters():  # bias_hh stays 0 where the layer has none
            nn.init.zeros_(parameter)
    for name in ("h0", "c0"):
        if name in given:
            module.register_parameter(name, nn.Parameter(torch.zeros(depth * (1 + both), layer["hidden_size"])))
    return module


def run_recurrent(module: nn.Module, layer: dict[str, Any], x: Tensor) -> Tensor:
    """The layer's output."""
    if isinstance(module, Unrolled):
        return module(x)
    runs = layer.get("num_layers", 1) * (1 + layer.get("bidirectional", False))
    zeros = x.new_zeros(runs, len(x), layer["hidden_size"])
    states = [
        getattr(module, name)[:, None].expand_as(zeros).contiguous() if name in layer["parameters"] else zeros
        for name in (("h0", "c0") if layer["kind"] == "lstm" else ("h0",))
    ]
    every, lengths, outs = layer.get("truncate") or x.shape[1], layer.get("lengths"), []
    for first in range(0, x.shape[1], every):
        if first:
            states = [state.detach() for state in states]
        hx = tuple(states) if layer["kind"] == "lstm" else states[0]
        part = x[:, first : first + every]
        if lengths:
            out, hx = module(pack_padded_sequence(part, lengths, batch_first=True, enforce_sorted=False), hx)
            out, _ = pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
        else:
            out, hx = module(part, hx)
        states = list(hx) if layer["kind"] == "lstm" else [hx]
        outs.append(out)
    if layer.get("return_sequences", True):
        return torch.cat(outs, 1)
    return states[0][-(1 + layer.get("bidirectional", False)) :].transpose(0, 1).flatten(1)  # h_n of the last layer


class Unrolled(nn.Module):
    """A recurrent layer step by step, for peepholes, the reset before the product, and cuts in both directions."""

    def __init__(self, layer: dict[str, Any]) -> None:
        super().__init__()
        self.layer = layer
        for name, value in layer["parameters"].items():
            if name not in ("h0", "c0"):
                self.register_parameter(name, nn.Parameter(torch.zeros(torch.tensor(value).shape)))

    def forward(self, x: Tensor) -> Tensor:
        """All layers and directions."""
        layer, outs, last = self.layer, x, []
        both = layer.get("bidirectional", False)
        for depth in range(layer.get("num_layers", 1)):
            made = [self.direction(outs, depth, backwards) for backwards in (False, True)[: 1 + both]]
            outs = torch.cat([states for states, _ in made], 2)
            last = [end for _, end in made]
        if not layer.get("return_sequences", True):
            return torch.cat(last, 1)
        if layer.get("lengths"):
            going = torch.arange(x.shape[1])[None] < torch.tensor(layer["lengths"])[:, None]
            return torch.where(going[..., None], outs, 0.0)
        return outs

    def direction(self, x: Tensor, depth: int, backwards: bool) -> tuple[Tensor, Tensor]:  # noqa: FBT001
        """The states h after every step, and the last one."""
        layer, steps = self.layer, x.shape[1]
        suffix = f"_l{depth}{'_reverse' * backwards}"
        names = ("h", "c") if layer["kind"] == "lstm" else ("h",)
        row = depth * (1 + layer.get("bidirectional", False)) + backwards
        states = {name: x.new_zeros(len(x), layer["hidden_size"]) for name in names}
        if "h0" in layer["parameters"]:
            states = {name: zeros + getattr(self, f"{name}0")[row] for name, zeros in states.items()}
        lengths = torch.tensor(layer.get("lengths") or [steps] * len(x))
        found = [x] * steps
        for t in range(steps - 1, -1, -1) if backwards else range(steps):
            edge = t + 1 if backwards else t  # between this step and the one read before it
            if layer.get("truncate") and 0 < edge < steps and edge % layer["truncate"] == 0:
                cut = (edge < lengths)[:, None]
                states = {name: torch.where(cut, state.detach(), state) for name, state in states.items()}
            after = self.step(x[:, t], states, suffix)
            going = (t < lengths)[:, None]
            states = {name: torch.where(going, after[name], states[name]) for name in states}
            found[t] = states["h"]
        return torch.stack(found, 1), states["h"]

    def step(self, x: Tensor, states: dict[str, Tensor], suffix: str) -> dict[str, Tensor]:
        """One step of one direction."""
        w, u = (getattr(self, f"weight_{name}{suffix}") for name in ("ih", "hh"))
        b, d = (getattr(self, f"bias_{name}{suffix}", None) for name in ("ih", "hh"))
        h, from_x = states["h"], nn.functional.linear(x, w, b)
        if self.layer["kind"] == "rnn":
            z = from_x + nn.functional.linear(h, u, d)
            return {"h": torch.relu(z) if self.layer.get("nonlinearity") == "relu" else torch.tanh(z)}
        if self.layer["kind"] == "gru":
            if self.layer.get("reset_after", True):
                return {"h": torch.gru_cell(x, h, w, u, b, d)}
            n = len(u) * 2 // 3
            r, z = (from_x[:, :n] + nn.functional.linear(h, u[:n], None if d is None else d[:n])).sigmoid().chunk(2, 1)
            new = torch.tanh(from_x[:, n:] + nn.functional.linear(r * h, u[n:], None if d is None else d[n:]))
            return {"h": new + z * (h - new)}
        i, f, g, o = (from_x + nn.functional.linear(h, u, d)).chunk(4, 1)
        peephole, cell = getattr(self, f"peephole{suffix}", None), states["c"]
        if peephole is not None:
            i, f = i + peephole[0] * cell, f + peephole[1] * cell
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        if peephole is not None:
            o = o + peephole[2] * cell
        return {"h": torch.sigmoid(o) * torch.tanh(cell), "c": cell}
