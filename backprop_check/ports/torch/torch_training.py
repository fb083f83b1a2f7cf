"""Training for torch_layers.py: PyTorch's own optimizers and clipping, and the penalty in the loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}

OPTIMIZERS = list(_OPTIMIZERS)

FEATURES = [
    *("momentum", "dampening", "nesterov", "weight_decay", "centered", "lr_decay", "amsgrad"),
    *("schedule", "clipping", "regularization"),
]


class Training:
    """An optimizer and what it remembers from step to step."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.optimizer, self.clip = case["optimizer"], case.get("clip")
        self.made: Any = None
        self.parameters: list[Tensor] = []

    def update(self, parameters: list[Tensor], gradients: list[Tensor], step: int) -> list[Tensor]:
        """Give the parameters after a step."""
        rates = self.optimizer["learning_rate"]
        rate = rates[step] if isinstance(rates, list) else rates
        if rate < 0 and self.optimizer["kind"] == "sgd":  # uphill: torch.optim refuses it, plain arithmetic does not
            return [p.detach() - rate * gradient for p, gradient in zip(parameters, gradients, strict=True)]
        if self.made is None:
            self.parameters = [parameter.detach().clone() for parameter in parameters]
            given = {key: value for key, value in self.optimizer.items() if key not in ("kind", "learning_rate")}
            if not self.parameters:
                return []
            self.made = _OPTIMIZERS[self.optimizer["kind"]](self.parameters, lr=rate, **given)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        if self.clip is not None and self.clip["kind"] == "norm":
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip["limit"])
        elif self.clip is not None:
            torch.nn.utils.clip_grad_value_(self.parameters, self.clip["limit"])
        self.made.param_groups[0]["lr"] = rate
        self.made.step()
        return [parameter.detach().clone() for parameter in self.parameters]


def penalty(regularization: dict[str, Any], named: list[tuple[str, Tensor]]) -> Tensor:
    """What the loss adds for large parameters: l1 Σ|w| + ½ l2 Σ w², over weights, and biases where it says so."""
    wanted = ("weight", "bias") if regularization["biases"] else ("weight",)
    counted = [each for name, each in named if any(word in name for word in wanted)]
    sizes = sum(each.abs().sum() for each in counted)
    squares = sum((each * each).sum() for each in counted)
    return torch.as_tensor(regularization["l1"] * sizes + 0.5 * regularization["l2"] * squares)
