"""The second witness: PyTorch autograd in float64. The only import of torch; no formula of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from backprop_check.numbers.given import as_array
from backprop_check.trace import Array, Slot, Trace

if TYPE_CHECKING:
    from backprop_check.network import Case, Layer
    from backprop_check.training import Regularization


def _activate(layer: Layer, z: torch.Tensor) -> torch.Tensor:
    match layer.activation:
        case "identity":
            return z * 1.0
        case "leaky_relu":
            return F.leaky_relu(z, 0.01 if layer.alpha is None else layer.alpha)
        case "elu":
            return F.elu(z, 1.0 if layer.alpha is None else layer.alpha)
        case "softplus":  # F.softplus turns linear above 20, which float64 can tell
            return torch.logaddexp(z, torch.zeros_like(z))
        case "softmax" | "log_softmax":
            return getattr(torch, layer.activation)(z, dim=-1)  # type: ignore[no-any-return]
        case "hard_tanh":
            return F.hardtanh(z)
        case name:
            return getattr(F, name)(z)  # type: ignore[no-any-return]


def _losses(case: Case, z: torch.Tensor, a: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The loss of each sample."""
    last = case.network.layers[-1].activation
    match case.loss.kind:
        case "half_squared_error":
            return 0.5 * F.mse_loss(a, t, reduction="none").sum(-1)
        case "squared_error":
            return F.mse_loss(a, t, reduction="none").sum(-1)
        case "mean_squared_error":
            return F.mse_loss(a, t, reduction="none").mean(-1)
        case "mean_absolute_error":
            return F.l1_loss(a, t, reduction="none").mean(-1)
        case "huber":
            threshold = 1.0 if case.loss.threshold is None else case.loss.threshold
            return F.huber_loss(a, t, reduction="none", delta=threshold).mean(-1)
        case "binary_cross_entropy" if last == "sigmoid":
            return F.binary_cross_entropy_with_logits(z, t, reduction="none").sum(-1)
        case "binary_cross_entropy":
            return -(torch.xlogy(t, a) + torch.xlogy(1 - t, 1 - a)).sum(-1)
        case "cross_entropy":
            return F.cross_entropy(z, t, reduction="none")
        case "negative_log_likelihood":
            return -(t * a).sum(-1)
        case _:
            return F.relu(1 - t * a).sum(-1)


def autograd_pass(case: Case) -> Trace:
    """Forward, backward and the updates of ``case`` by autograd.

    On one thread: these networks are small, and on a busy machine waiting for a second one takes longer
    than all the rest. The number of threads that the user's own torch runs on stays as it was.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _pass(case)
    finally:
        torch.set_num_threads(threads)


def _given(rows: Any) -> torch.Tensor:
    array = as_array(rows)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _penalty(regularization: Regularization, parameters: list[tuple[Any, Any]]) -> torch.Tensor:
    counted = [
        p for weights, biases in parameters for p in ((weights, biases) if regularization.biases else (weights,))
    ]
    sizes = torch.stack([p.abs().sum() for p in counted]).sum()
    squares = torch.stack([p.pow(2).sum() for p in counted]).sum()
    return regularization.l1 * sizes + 0.5 * regularization.l2 * squares


class _Training:
    """PyTorch's own optimizers and clipping, by their functional forms: the classes take two seconds to import."""

    def __init__(self, case: Case) -> None:
        assert case.optimizer is not None
        self._optimizer, self._clip = case.optimizer, case.clip
        self._state: dict[str, list[Any]] = {}

    def __call__(self, parameters: list[torch.Tensor], gradients: list[torch.Tensor], step: int) -> list[torch.Tensor]:
        """The parameters after the step."""
        if self._clip is not None:
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
            if self._clip.kind == "norm":
                torch.nn.utils.clip_grad_norm_(parameters, self._clip.limit, foreach=False)
            else:
                torch.nn.utils.clip_grad_value_(parameters, self._clip.limit, foreach=False)
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        given = dict(self._optimizer.settings)
        rate = self._optimizer.rate(step)
        match self._optimizer.kind:
            case "sgd":
                buffers = self._state.setdefault("momentum", [None] * len(parameters))
                sgd(parameters, gradients, buffers, foreach=False, lr=rate, maximize=False, **given)
            case "rmsprop":
                squares, means, buffers = (self._zeros(name, parameters) for name in ("square", "mean", "momentum"))
                rmsprop(
                    parameters, gradients, squares, means, buffers, self._steps(parameters),
                    foreach=False, lr=rate, **given,
                )  # fmt: skip
            case "adagrad":
                sums = self._zeros("sum", parameters, given.pop("initial_accumulator_value"))
                adagrad(
                    parameters, gradients, sums, self._steps(parameters), fused=False, grad_scale=None, found_inf=None,
                    foreach=False, has_complex=False, lr=rate, maximize=False, **given,
                )  # fmt: skip
            case _:
                given["beta1"], given["beta2"] = given.pop("betas")
                means, squares, largest = (self._zeros(name, parameters) for name in ("mean", "square", "largest"))
                (adam if self._optimizer.kind == "adam" else adamw)(
                    parameters, gradients, means, squares, largest, self._steps(parameters),
                    foreach=False, lr=rate, maximize=False, **given,
                )  # fmt: skip
        return parameters

    def _zeros(self, name: str, like: list[torch.Tensor], value: float = 0.0) -> list[torch.Tensor]:
        return self._state.setdefault(name, [torch.full_like(each, value) for each in like])

    def _steps(self, like: list[torch.Tensor]) -> list[torch.Tensor]:
        return self._state.setdefault("step", [torch.tensor(0.0) for _ in like])


def _pass(case: Case) -> Trace:
    parameters: list[tuple[Any, Any]] = [
        (
            _given(layer.parameters.weights).requires_grad_(),
            _given(layer.parameters.biases).requires_grad_(),
        )
        for layer in case.network.layers
    ]
    targets, inputs = _given(case.targets), _given(case.inputs)
    values: dict[Slot, Array] = {}
    step_of = None if case.plain or case.optimizer is None else _Training(case)
    for step in range(case.steps):
        x = inputs.detach().requires_grad_()
        zs, activations, a = [], [], x
        for layer, (weights, biases) in zip(case.network.layers, parameters, strict=True):
            z = F.linear(a, weights, biases)
            a = _activate(layer, z)
            zs.append(z)
            activations.append(a)
        losses = _losses(case, zs[-1], a, targets)
        loss = losses.mean() if case.reduction == "mean" else losses.sum()
        if case.regularization is not None:
            loss = loss + _penalty(case.regularization, parameters)
        flat = [p for pair in parameters for p in pair]
        gradients = torch.autograd.grad(loss, [*flat, *zs, x])
        if step == 0:
            values[Slot("loss")] = np.array(loss.item())
            values[Slot("input_gradient")] = gradients[-1].numpy()
            for index, (z, a_of) in enumerate(zip(zs, activations, strict=True)):
                values[Slot("z", index)] = z.detach().numpy()
                values[Slot("a", index)] = a_of.detach().numpy()
                values[Slot("delta", index)] = gradients[len(flat) + index].numpy()
                values[Slot("weight_gradient", index)] = gradients[2 * index].numpy()
                values[Slot("bias_gradient", index)] = gradients[2 * index + 1].numpy()
        if case.optimizer is None:
            break
        if step_of is None:
            rate = case.optimizer.rate(step)
            stepped = [p.detach() - rate * g for p, g in zip(flat, gradients, strict=False)]
        else:
            stepped = step_of([p.detach().clone() for p in flat], list(gradients[: len(flat)]), step)
        values[Slot("loss", None, step)] = np.array(loss.item())
        for index in range(len(parameters)):
            weights, biases = stepped[2 * index], stepped[2 * index + 1]
            parameters[index] = (weights.requires_grad_(), biases.requires_grad_())
            for at in (step, None) if step == case.steps - 1 else (step,):
                values[Slot("updated_weight", index, at)] = weights.detach().numpy()
                values[Slot("updated_bias", index, at)] = biases.detach().numpy()
    return Trace(values)
