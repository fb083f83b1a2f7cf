"""The second witness: PyTorch autograd in float64. It shares no formula with the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from backprop_check.compare.trace import Array, Form, Slot, Trace
from backprop_check.kinds.kind import quantity_of
from backprop_check.witness import LAYERS
from backprop_check.witness.activation import losses

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.kinds.given import GivenNumbers


def autograd_pass(case: Case) -> Trace:
    """Forward pass, backward pass and updates of ``case`` by autograd.

    It uses one thread: for such small networks, waiting for a second one on a busy machine takes longer than everything
    else. Afterwards the number of threads of the user's own torch is restored.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _pass(case)
    finally:
        torch.set_num_threads(threads)


def _given(rows: GivenNumbers) -> torch.Tensor:
    return torch.tensor(rows.values)


def _batch_loss(case: Case, each: torch.Tensor, parameters: list[tuple[str, torch.Tensor]]) -> torch.Tensor:
    """The loss of the batch from those of its samples, plus the penalty of the case."""
    loss = each.mean() if case.reduction == "mean" else each.sum()
    penalty = case.regularization
    if penalty is None:
        return loss
    wanted = ("weight", "bias") if penalty.biases else ("weight",)
    for name, numbers in parameters:
        if any(word in name for word in wanted):
            loss = loss + penalty.l1 * numbers.abs().sum() + 0.5 * penalty.l2 * numbers.pow(2).sum()
    return loss


class _Training:
    """PyTorch's own optimizers and clipping, in their functional form: importing the classes takes two seconds."""

    def __init__(self, case: Case) -> None:
        assert case.optimizer is not None
        self._optimizer, self._clip, self._plain = case.optimizer, case.clip, case.plain
        self._state: dict[str, list[Any]] = {}

    def __call__(self, before: list[torch.Tensor], gradients: list[torch.Tensor], step: int) -> list[torch.Tensor]:
        """The parameters after the step."""
        if self._plain or not before:
            return [each.detach() - self._optimizer.rate(step) * g for each, g in zip(before, gradients, strict=True)]
        parameters = [each.detach().clone() for each in before]
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
    network, form = case.network, Form(case)
    parameters = [
        {} if layer.shares else {name: _given(each) for name, each in layer.arrays().items()}
        for layer in network.layers
    ]
    buffers = [{name: _given(each) for name, each in layer.buffer_rows().items()} for layer in network.layers]
    targets = _given(case.targets)
    inputs = _given(case.inputs).reshape(len(case.inputs), *network.input_shape)
    values: dict[Slot, Array] = {}
    step_of = None if case.optimizer is None else _Training(case)
    for step in range(case.steps):
        x = inputs.detach().clone().requires_grad_()
        for own in parameters:
            for each in own.values():
                each.requires_grad_()
        made: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        for index, layer in enumerate(network.layers):
            read = [x if source < 0 else made[source][0] for source in network.sources[index]]
            own = {**parameters[network.owner(index)], **buffers[index]}
            together: Any = read if layer.apart else _combined(layer.combine, read)
            made.append(LAYERS[layer.kind](layer, together, own, case))
        a, z = made[-1]
        rows = a.flatten(1)
        loss_z = z if z is not None and z is not a and a.dim() == 2 else None  # noqa: PLR2004 - one softmax a sample
        each_loss = losses(case, loss_z, rows, targets)
        known = [(index, z) for index, (_, z) in enumerate(made) if z is not None]
        flat = [(index, name, each) for index, own in enumerate(parameters) for name, each in own.items()]
        loss = _batch_loss(case, each_loss, [(name, each) for _, name, each in flat])
        wanted = [*(each for _, _, each in flat), *(z for _, z in known), x]
        gradients = [
            torch.zeros_like(of) if g is None else g
            for g, of in zip(torch.autograd.grad(loss, wanted, allow_unused=True), wanted, strict=True)
        ]
        of_parameters = gradients[: len(flat)]
        found: dict[Slot, torch.Tensor] = {}
        if step == 0:
            found = {Slot("loss"): loss, Slot("input_gradient"): gradients[-1], **_made(case, made)}
            deltas = zip(known, gradients[len(flat) : -1], strict=True)
            found |= {Slot("delta", index): gradient for (index, _), gradient in deltas}
            for (index, name, _), gradient in zip(flat, of_parameters, strict=True):
                found[Slot(f"{quantity_of(name)}_gradient", index)] = gradient
        found |= _moved(case, form, buffers, step)
        if step_of is not None:
            found[Slot("loss", None, step)] = loss
            after = step_of([each for *_, each in flat], of_parameters, step)
            for (index, name, _), stepped in zip(flat, after, strict=True):
                parameters[index][name] = stepped
                for at in (step, None) if step == case.steps - 1 else (step,):
                    found[Slot(f"updated_{quantity_of(name)}", index, at)] = stepped
        for slot, tensor in found.items():
            values[slot] = tensor.detach().numpy().reshape(form.trace_shape(slot))
        if case.optimizer is None:
            break
    return Trace(values)


def _made(case: Case, made: list[tuple[torch.Tensor, torch.Tensor | None]]) -> dict[Slot, torch.Tensor]:
    """The reported outputs and pre-activations of the layers."""
    found = {}
    for index, ((a, z), layer) in enumerate(zip(made, case.network.layers, strict=True)):
        found[Slot("a", index)] = a
        if z is not None and "z" in layer.reported:
            found[Slot("z", index)] = z
    return found


def _moved(case: Case, form: Form, buffers: list[dict[str, torch.Tensor]], step: int) -> dict[Slot, torch.Tensor]:
    """The buffers after the pass of a step."""
    steps = [None] if case.optimizer is None else [step, None] if step == case.steps - 1 else [step]
    return {
        Slot(f"{name}_buffer", index, at): buffers[index][name].clone()
        for index, shapes in enumerate(form.buffers)
        for name in shapes
        for at in steps
    }


def _combined(how: str | None, read: list[torch.Tensor]) -> torch.Tensor:
    if len(read) == 1:
        return read[0]
    if how == "concat":
        return torch.cat(read, dim=1)
    stacked = torch.stack(read)
    return stacked.prod(0) if how == "multiply" else stacked.sum(0)
