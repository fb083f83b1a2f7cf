"""PyTorch's own float32 modules as an implementation under test.

    backprop-check run python:torch_layers:backprop

A case becomes ``torch.nn`` modules, autograd does the rest, and what the modules hold becomes the reply. It shows how
little an adapter to a library has to do: make the layers, load the parameters, name the gradients.
"""

from __future__ import annotations

from typing import Any

import torch
import torch_attention
import torch_convolution
import torch_normalisation
import torch_training
from torch import Tensor, nn
from torch_recurrent import recurrent, run_recurrent

DTYPE = torch.float32


def _dense(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    return nn.Linear(torch.Size(shape).numel(), layer["units"])


#: For every kind of layer the module, from its JSON and the shape of one sample of its input.
MODULES = {
    "dense": _dense,
    **torch_convolution.MODULES,
    **torch_normalisation.MODULES,
    **torch_attention.MODULES,
}

#: Those of the recurrent family are made in a file of their own; they do not show their pre-activations.
RECURRENT = ("rnn", "gru", "lstm")
MODULES |= dict.fromkeys(RECURRENT, recurrent)

#: A dense layer's parameters are called otherwise in the protocol than in PyTorch.
_NAMES = {"weights": "weight", "biases": "bias"}

_ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softsign": nn.functional.softsign,
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "hard_tanh": nn.functional.hardtanh,
    "identity": lambda z: z,
}


def _activate(layer: dict[str, Any], z: Tensor) -> Tensor:
    """a = φ(z); a softmax goes over a convolution's channels, else over the last index."""
    name = layer.get("activation", "identity")
    dim = 1 if layer["kind"].startswith("conv") else -1
    if name == "softmax":
        return torch.softmax(z, dim)
    if name == "log_softmax":
        return torch.log_softmax(z, dim)
    if name == "softplus":
        return nn.functional.softplus(z, threshold=80)
    if name == "leaky_relu":
        return nn.functional.leaky_relu(z, layer.get("alpha", 0.01))
    if name == "elu":
        return nn.functional.elu(z, layer.get("alpha", 1.0))
    return _ACTIVATIONS[name](z)


def _sample_losses(kind: dict[str, Any], a: Tensor, t: Tensor) -> Tensor:
    """The loss of each sample, of rows of outputs and targets."""
    e = a - t
    match kind["kind"]:
        case "half_squared_error":
            return 0.5 * (e * e).sum(1)
        case "squared_error":
            return (e * e).sum(1)
        case "mean_squared_error":
            return (e * e).mean(1)
        case "mean_absolute_error":
            return e.abs().mean(1)
        case "huber":
            return nn.functional.huber_loss(a, t, reduction="none", delta=kind["threshold"]).mean(1)
        case "binary_cross_entropy":
            return -(torch.xlogy(t, a) + torch.xlogy(1 - t, 1 - a)).sum(1)
        case "cross_entropy":
            return -torch.xlogy(t, a).sum(1)
        case "negative_log_likelihood":
            return -(t * a).sum(1)
        case "kl_divergence":
            return nn.functional.kl_div(a, t, reduction="none").sum(1)
        case _:
            return torch.relu(1 - t * a).sum(1)


def _smoothed(kind: dict[str, Any], t: Tensor, a: Tensor) -> Tensor:
    """Targets t (1 − ε) + ε/K of K classes, where a cross-entropy's labels are smoothed."""
    epsilon = kind.get("label_smoothing", 0.0)
    return t * (1 - epsilon) + epsilon / a.shape[-1] if epsilon else t


def _losses(case: dict[str, Any], z: Tensor | None, a: Tensor, t: Tensor) -> Tensor:
    """The loss of each sample; where it undoes the output's activation it is taken of z, so that nothing overflows."""
    pair = case["network"]["layers"][-1].get("activation"), case["loss"]["kind"]
    t = _smoothed(case["loss"], t, a)
    if z is not None and pair == ("sigmoid", "binary_cross_entropy"):
        return nn.functional.binary_cross_entropy_with_logits(z.flatten(1), t, reduction="none").sum(1)
    if z is not None and pair == ("softmax", "cross_entropy"):
        return -(t * torch.log_softmax(z, 1 if z.dim() == 4 else -1).flatten(1)).sum(1)
    return _sample_losses(case["loss"], a.flatten(1), t)


def _combine(layer: dict[str, Any], read: list[Tensor]) -> Any:
    """What a layer reads: one tensor, or a list of them where it takes several one by one."""
    if layer["kind"] in torch_attention.APART:
        return read
    if len(read) == 1:
        return read[0]
    if layer["combine"] == "concat":
        return torch.cat(read, 1)
    together = read[0]
    for other in read[1:]:
        together = together + other if layer["combine"] == "add" else together * other
    return together


def run(module: nn.Module, layer: dict[str, Any], x: Any) -> tuple[Tensor | None, Tensor]:
    """A layer's pre-activation (None where it is not shown) and output."""
    if layer["kind"] in RECURRENT:
        return None, run_recurrent(module, layer, x)
    if layer["kind"] in torch_attention.RUN:
        return torch_attention.RUN[layer["kind"]](module, layer, x)
    z = module(x.flatten(1) if layer["kind"] == "dense" else x)
    return z, _activate(layer, z)


def one_pass(case: dict[str, Any], training: torch_training.Training | None = None, step: int = 0) -> dict[str, Any]:
    """A reply to a case of the protocol: one pass, and one update where that is asked for."""
    layers = case["network"]["layers"]
    x = torch.tensor(case["inputs"], dtype=DTYPE, requires_grad=True)
    targets = torch.tensor(case["targets"], dtype=DTYPE).flatten(1)
    outputs, modules, zs = {"input": x}, [], []
    last = x
    last_name = {len(layers) - 1: "output"}
    names = [layer.get("name") or last_name.get(at, f"hidden{at + 1}") for at, layer in enumerate(layers)]
    for name, layer in zip(names, layers, strict=True):
        read = _combine(layer, [outputs[each] for each in layer["from"]] if layer.get("from") else [last])
        if layer.get("shares"):
            module = modules[names.index(layer["shares"])]
        else:
            shape = [tuple(x.shape[1:]) for x in read] if isinstance(read, list) else tuple(read.shape[1:])
            module = MODULES[layer["kind"]](layer, shape).to(DTYPE)
            given = {**(layer.get("parameters") or {}), **layer.get("buffers", {})}
            state = {_NAMES.get(key, key): torch.tensor(value, dtype=DTYPE) for key, value in given.items()}
            module.load_state_dict(state, strict=False)
        z, last = run(module, layer, read)
        if z is not None:
            z.retain_grad()
        outputs[name] = last
        modules.append(module)
        zs.append((z, last))
    losses = _losses(case, z, last, targets)
    loss = losses.mean() if case["reduction"] == "mean" else losses.sum()
    owned = [
        {}
        if layer.get("shares")
        else {key: module.get_parameter(_NAMES.get(key, key)) for key in layer.get("parameters") or {}}
        for layer, module in zip(layers, modules, strict=True)
    ]
    named = [pair for own in owned for pair in own.items()]
    if case.get("regularization"):
        loss = loss + torch_training.penalty(case["regularization"], named)
    loss.backward()
    updated: list[Tensor] = []
    if training is not None:
        updated = training.update([p for _, p in named], [_gradient(p) for _, p in named], step)
    after = iter(updated)
    reply: dict[str, Any] = {"id": case["id"], "loss": loss.item(), "layers": []}
    for layer, module, own, (z, a) in zip(layers, modules, owned, zs, strict=True):
        one: dict[str, Any] = {"a": a.tolist(), "gradients": {key: _gradient(p).tolist() for key, p in own.items()}}
        if z is not None:
            one["delta"] = _gradient(z).tolist()
            if "activation" in layer and layer["kind"] not in torch_attention.NO_Z:
                one["z"] = z.tolist()
        if training is not None:
            one["updated"] = {key: next(after).tolist() for key in own}
        if layer.get("training") and "buffers" in layer:
            one["buffers"] = {key: module.get_buffer(key).tolist() for key in layer["buffers"]}
        reply["layers"].append(one)
    reply["input_gradients"] = _gradient(x).tolist()
    return reply


def _gradient(x: Tensor) -> Tensor:
    """∂L/∂x; 0 where the loss does not depend on it."""
    return torch.zeros_like(x) if x.grad is None else x.grad


def backprop(case: dict[str, Any]) -> dict[str, Any]:
    """A reply to a case of the protocol: each step goes on from the parameters of the one before."""
    steps = case["steps"] if case.get("optimizer") else 1
    training = torch_training.Training(case) if case.get("optimizer") else None
    passes: list[dict[str, Any]] = []
    for step in range(steps):
        network = case["network"]
        if passes:
            network = {**network, "layers": _updated(network["layers"], passes[-1]["layers"])}
        passes.append(one_pass({**case, "network": network}, training, step))
    reply = passes[0]
    if steps > 1:
        made = [{"loss": each["loss"], "layers": [_changed(layer) for layer in each["layers"]]} for each in passes]
        for layer, last in zip(reply["layers"], made[-1]["layers"], strict=True):
            layer.update(last)
        reply["trajectory"] = made
    return reply


def _changed(layer: dict[str, Any]) -> dict[str, Any]:
    """What a step changed: parameters, and buffers where there are any."""
    return {key: layer[key] for key in ("updated", "buffers") if key in layer}


def _updated(layers: list[dict[str, Any]], replies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layers with the parameters and buffers after a step; what shares another's is given none of its own."""
    named = (("parameters", "updated"), ("buffers", "buffers"))
    return [
        {**layer, **{name: {**layer[name], **each[after]} for name, after in named if each.get(after)}}
        for layer, each in zip(layers, replies, strict=True)
    ]


backprop.dtype = "float32"  # type: ignore[attr-defined]
backprop.supports = {  # type: ignore[attr-defined]
    "layers": list(MODULES),
    "optimizers": torch_training.OPTIMIZERS,
    "losses": [
        "half_squared_error",
        "squared_error",
        "mean_squared_error",
        "mean_absolute_error",
        "huber",
        "binary_cross_entropy",
        "cross_entropy",
        "negative_log_likelihood",
        "kl_divergence",
        "hinge",
    ],
    "features": [
        "graph",
        "label_smoothing",
        *torch_training.FEATURES,
        *("bidirectional", "stacked", "initial_states", "lengths", "truncation", "peepholes", "reset_before"),
    ],
}
