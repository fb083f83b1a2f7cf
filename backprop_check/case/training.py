"""How a case is trained: the optimizer and its options, a schedule, clipping, a penalty in the loss.

Names, defaults and formulas are PyTorch's. A request contains every field of an optimizer's kind, except for plain
gradient descent, which stays ``{"kind": "sgd", "learning_rate": 0.5}``.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

import msgspec

from backprop_check.fields import Below1, Finite, NotNegative, Positive, check_fields, description, fail

#: The fields of each kind except ``learning_rate``, with PyTorch's defaults, in the order in which they are sent.
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8, "centered": False, "momentum": 0.0, "weight_decay": 0.0},
    "adagrad": {"lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0.0},
    "adamw": {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0.01},
}

OPTIMIZERS = tuple(SETTINGS)

#: Fields that change an optimizer when they are not 0 or false: a port claims each by its name.
OPTIONS = ("momentum", "dampening", "nesterov", "weight_decay", "centered", "lr_decay", "amsgrad")

#: What a port may claim in ``supports.features`` about training.
FEATURES = (*OPTIONS, "schedule", "clipping", "regularization")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Unknown fields are errors."""


class Optimizer(_Strict, frozen=True, dict=True):
    """The optimizer. ``learning_rate`` is one number, or one per step: a schedule.

    Other fields that a case leaves out have PyTorch's defaults. A field that the kind does not have is an error.
    """

    kind: Literal["sgd", "rmsprop", "adagrad", "adam", "adamw"]
    learning_rate: Annotated[Finite | tuple[Finite, ...], description("One number, or one per step: a schedule.")]
    momentum: NotNegative | None = None
    dampening: Finite | None = None
    nesterov: bool | None = None
    weight_decay: NotNegative | None = None
    betas: tuple[Below1, Below1] | None = None
    eps: NotNegative | None = None
    alpha: Below1 | None = None
    centered: bool | None = None
    lr_decay: NotNegative | None = None
    initial_accumulator_value: NotNegative | None = None
    amsgrad: bool | None = None

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Every field of the kind except the learning rate, with defaults filled in."""
        return {
            name: default if getattr(self, name) is None else getattr(self, name)
            for name, default in SETTINGS[self.kind].items()
        }

    def rate(self, step: int) -> float:
        """The learning rate of a step; after the end of a schedule, its last one."""
        if isinstance(self.learning_rate, tuple):
            return self.learning_rate[min(step, len(self.learning_rate) - 1)]
        return self.learning_rate

    def over(self, steps: int) -> Optimizer:
        """The same optimizer for another number of steps: a schedule is cut, or continued with its last rate."""
        if not isinstance(self.learning_rate, tuple):
            return self
        return msgspec.structs.replace(self, learning_rate=tuple(self.rate(step) for step in range(steps)))

    @functools.cached_property
    def plain(self) -> bool:
        """Whether this is plain gradient descent: w⁺ = w − η ∂L/∂w."""
        return self.kind == "sgd" and not any(self.settings.values())

    def whole(self) -> Optimizer:
        """The same with all defaults written out (none for plain gradient descent), so that equal optimizers
        compare equal.
        """
        return Optimizer(self.kind, self.learning_rate, **({} if self.plain else self.settings))

    def request(self) -> dict[str, Any]:
        """The JSON that is sent: every field of the kind, but only the rate for plain gradient descent."""
        settings = {} if self.plain else self.settings
        return {"kind": self.kind, "learning_rate": self.learning_rate, **settings}

    @classmethod
    def sent(cls) -> dict[str, Any]:
        """The JSON Schema of what ``request`` writes: all fields of the kind, or (plain gradient descent) none
        but the rate.
        """
        names = cls.__struct_fields__[2:]
        rules = []
        for kind, settings in SETTINGS.items():
            others: dict[str, Any] = {"properties": {name: False for name in names if name not in settings}}
            whole = (
                {"dependentRequired": {name: list(settings) for name in settings}}
                if kind == "sgd"
                else {"required": list(settings)}
            )
            rules.append({"if": {"properties": {"kind": {"const": kind}}}, "then": {**others, **whole}})
        return {"allOf": rules}

    def features(self) -> list[str]:
        """The features that a port needs for it besides its kind. AdamW's weight decay is part of its kind."""
        found = [name for name in OPTIONS if self.settings.get(name) and (name, self.kind) != ("weight_decay", "adamw")]
        return [*found, "schedule"] if isinstance(self.learning_rate, tuple) else found


class Clip(_Strict, frozen=True):
    """Gradients are clipped before the update: each to ±limit (``value``), or all scaled so that their norm is at
    most limit.
    """

    kind: Literal["value", "norm"]
    limit: Positive


class Regularization(_Strict, frozen=True):
    """A penalty in the loss: l1 · Σ|w| + ½ l2 · Σw², over weights, and over biases if ``biases`` is true."""

    l1: NotNegative = 0.0
    l2: NotNegative = 0.0
    biases: bool = False

    def whole(self) -> Regularization:
        """The same without fields that are 0 or false, so that equal penalties compare equal."""
        return Regularization(**{name: value for name, value in self.request().items() if value})

    def request(self) -> dict[str, Any]:
        """The JSON that is sent, with every field."""
        return {"l1": self.l1, "l2": self.l2, "biases": self.biases}


def features_of(optimizer: Optimizer | None, clip: Clip | None, regularization: Regularization | None) -> list[str]:
    """The features (``supports.features``) that the training of a case needs."""
    found = optimizer.features() if optimizer is not None else []
    return [*found, *(["clipping"] if clip else []), *(["regularization"] if regularization else [])]


def check_training(
    optimizer: Optimizer | None, clip: Clip | None, regularization: Regularization | None, steps: int
) -> None:
    """Raises ``CaseError`` where a field of the training is invalid, or has no meaning for its optimizer."""
    if optimizer is not None:
        _check_optimizer(optimizer, steps)
    if clip is not None:
        if optimizer is None:
            fail("$.clip", "an optimizer, whose update is to be clipped", "none")
        check_fields("$.clip", clip)
    if regularization is not None:
        check_fields("$.regularization", regularization)


def _check_optimizer(optimizer: Optimizer, steps: int) -> None:
    check_fields("$.optimizer", optimizer)
    rates = optimizer.learning_rate
    if isinstance(rates, tuple) and len(rates) != steps:
        fail("$.optimizer.learning_rate", f"{steps} numbers, one a step", len(rates))
    own = SETTINGS[optimizer.kind]
    for name in optimizer.__struct_fields__[2:]:
        if getattr(optimizer, name) is not None and name not in own:
            fail(f"$.optimizer.{name}", f"one of {', '.join(own)} (for {optimizer.kind})", name)
    settings = optimizer.settings
    if settings.get("nesterov") and (not settings["momentum"] or settings["dampening"]):
        fail("$.optimizer.nesterov", "a momentum and no dampening", settings)
    if settings.get("dampening") and not settings["momentum"]:
        fail("$.optimizer.dampening", "a momentum", 0)
