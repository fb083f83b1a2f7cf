"""What a case says of its training: the optimizer and its options, a schedule, clipping, a penalty in the loss.

Names, defaults and formulas are PyTorch's. A request writes out every field of an optimizer's kind, but for the
plain ``sgd`` of a network's first lessons, which stays ``{"kind": "sgd", "learning_rate": 0.5}``.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal, NoReturn

import msgspec

from backprop_check.errors import CaseError

#: The fields of each kind beside ``learning_rate``, with PyTorch's defaults, in the order in which they are sent.
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8, "centered": False, "momentum": 0.0, "weight_decay": 0.0},
    "adagrad": {"lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0.0},
    "adamw": {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0.01},
}

OPTIMIZERS = tuple(SETTINGS)

#: Fields that add something to an optimizer when they are not 0 or false: a port claims each by its name.
OPTIONS = ("momentum", "dampening", "nesterov", "weight_decay", "centered", "lr_decay", "amsgrad")

#: All that a port may claim in ``supports.features``.
FEATURES = (*OPTIONS, "schedule", "clipping", "regularization")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Unknown fields are errors."""


class Optimizer(_Strict, frozen=True, dict=True):
    """How parameters follow their gradients. ``learning_rate`` is one number, or one a step: the schedule.

    A field that is not given has PyTorch's default; one that its kind does not have is an error.
    """

    kind: Literal["sgd", "rmsprop", "adagrad", "adam", "adamw"]
    learning_rate: float | tuple[float, ...]
    momentum: float | None = None
    dampening: float | None = None
    nesterov: bool | None = None
    weight_decay: float | None = None
    betas: tuple[float, float] | None = None
    eps: float | None = None
    alpha: float | None = None
    centered: bool | None = None
    lr_decay: float | None = None
    initial_accumulator_value: float | None = None
    amsgrad: bool | None = None

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Every field of the kind but the learning rate, defaults filled in."""
        return {
            name: default if getattr(self, name) is None else getattr(self, name)
            for name, default in SETTINGS[self.kind].items()
        }

    def rate(self, step: int) -> float:
        """The learning rate of a step; after the end of a schedule its last."""
        if isinstance(self.learning_rate, tuple):
            return self.learning_rate[min(step, len(self.learning_rate) - 1)]
        return self.learning_rate

    def over(self, steps: int) -> Optimizer:
        """The same for another number of steps: a schedule is cut, or goes on with its last rate."""
        if not isinstance(self.learning_rate, tuple):
            return self
        return msgspec.structs.replace(self, learning_rate=tuple(self.rate(step) for step in range(steps)))

    @functools.cached_property
    def plain(self) -> bool:
        """Whether this is gradient descent and nothing else: w⁺ = w − η ∂L/∂w."""
        return self.kind == "sgd" and not any(self.settings.values())

    def whole(self) -> Optimizer:
        """The same with all defaults written out (none for plain gradient descent): alike where they mean alike."""
        return Optimizer(self.kind, self.learning_rate, **({} if self.plain else self.settings))

    def request(self) -> dict[str, Any]:
        """As it is sent: every field of the kind, but nothing beside the rate for plain gradient descent."""
        settings = {} if self.plain else self.settings
        return {"kind": self.kind, "learning_rate": self.learning_rate, **settings}

    def features(self) -> list[str]:
        """What a port needs to know beside the kind. AdamW's decay is part of its kind."""
        found = [name for name in OPTIONS if self.settings.get(name) and (name, self.kind) != ("weight_decay", "adamw")]
        return [*found, "schedule"] if isinstance(self.learning_rate, tuple) else found


class Clip(_Strict, frozen=True):
    """Gradients held back before the update: each by ``value``, or all together by their ``norm``."""

    kind: Literal["value", "norm"]
    limit: float


class Regularization(_Strict, frozen=True):
    """What the loss adds for large parameters: l1 · Σ|w| + ½ l2 · Σw², over weights, and ``biases`` if they say so."""

    l1: float = 0.0
    l2: float = 0.0
    biases: bool = False

    def whole(self) -> Regularization:
        """The same, alike where two mean alike: what is 0 is not written."""
        return Regularization(**{name: value for name, value in self.request().items() if value})

    def request(self) -> dict[str, Any]:
        """As it is sent, nothing implied."""
        return {"l1": self.l1, "l2": self.l2, "biases": self.biases}


def features_of(optimizer: Optimizer | None, clip: Clip | None, regularization: Regularization | None) -> list[str]:
    """What of ``supports.features`` a case needs."""
    found = optimizer.features() if optimizer is not None else []
    return [*found, *(["clipping"] if clip else []), *(["regularization"] if regularization else [])]


def check_training(
    optimizer: Optimizer | None, clip: Clip | None, regularization: Regularization | None, steps: int
) -> None:
    """Raise ``CaseError`` where a field has no meaning."""
    if optimizer is not None:
        _check_optimizer(optimizer, steps)
    if clip is not None:
        if optimizer is None:
            _fail("$.clip", "an optimizer, whose update is to be clipped", "none")
        if not 0 < clip.limit < math.inf:
            _fail("$.clip.limit", "a positive number", clip.limit)
    if regularization is not None:
        for name in ("l1", "l2"):
            _not_negative(f"$.regularization.{name}", getattr(regularization, name))


def _check_optimizer(optimizer: Optimizer, steps: int) -> None:
    rates = optimizer.learning_rate if isinstance(optimizer.learning_rate, tuple) else (optimizer.learning_rate,)
    for rate in rates:
        if not math.isfinite(rate):
            _fail("$.optimizer.learning_rate", "a finite number", rate)
    if isinstance(optimizer.learning_rate, tuple) and len(rates) != steps:
        _fail("$.optimizer.learning_rate", f"{steps} numbers, one a step", len(rates))
    own = SETTINGS[optimizer.kind]
    for name in optimizer.__struct_fields__[2:]:
        value = getattr(optimizer, name)
        if value is not None and name not in own:
            _fail(f"$.optimizer.{name}", f"one of {', '.join(own)} (for {optimizer.kind})", name)
        for each in value if isinstance(value, tuple) else (value,):
            _check_setting(f"$.optimizer.{name}", name, each)
    settings = optimizer.settings
    if settings.get("nesterov") and (not settings["momentum"] or settings["dampening"]):
        _fail("$.optimizer.nesterov", "a momentum and no dampening", settings)
    if settings.get("dampening") and not settings["momentum"]:
        _fail("$.optimizer.dampening", "a momentum", 0)


def _check_setting(path: str, name: str, value: float | None) -> None:
    if value is None or isinstance(value, bool):
        return
    if name in ("alpha", "betas"):
        if not 0 <= value < 1:
            _fail(path, "at least 0 and less than 1", value)
    elif name != "dampening":
        _not_negative(path, value)
    elif not math.isfinite(value):
        _fail(path, "a finite number", value)


def _not_negative(path: str, value: float) -> None:
    if not 0 <= value < math.inf:
        _fail(path, "a number of at least 0", value)


def _fail(path: str, expected: str, got: object) -> NoReturn:
    raise CaseError(path, expected, str(got))
