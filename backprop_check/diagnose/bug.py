"""Named bugs: each has a page for people, and variants, in which stages of the reference are replaced by wrong ones.

A bug has several variants where people make the same mistake in different ways (which layer's function, which ε): each
is a subclass of ``Stages`` with a label.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.kinds.kind import quantity_of
from backprop_check.reference import Stages
from backprop_check.reference.passes import trace_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from backprop_check.case.network import Case
    from backprop_check.reference import Pass
    from backprop_check.reference.passes import LayerPass, Named


#: Stages of an update beyond plain gradient descent, or of clipping before it.
_OF_TRAINING = (
    "before_update", "velocity", "look_ahead", "decayed", "shrunk", "adamw", "root", "adam_root", "correction",
    "correction_of_mean", "correction_of_square",
)  # fmt: skip

#: The quantities that each stage changes, to tell quickly whether a bug can explain what is wrong.
_GIVES = {
    "smoothed": {"loss", "delta"},
    "loss_term": {"loss"},
    "sample_loss": {"loss"},
    "batch_loss": {"loss"},
    "in_batch": {"loss", "delta"},
    "output_error": {"delta"},
    "updated_number": {"updated_weight", "updated_bias"},
    "updated": {"updated_weight", "updated_bias"},
    "equations": {"z", "a", "delta", "weight_gradient", "bias_gradient", "updated_weight", "updated_bias"},
    "value": {"z", "a"},
    "share": {"delta", "weight_gradient", "bias_gradient", "updated_weight", "updated_bias"},
    "matched_error": {"delta"},
    "penalty": {"loss"},
    "l2_value": {"loss"},
    "counts_biases": {"loss", "bias_gradient", "updated_bias"},
    "l2_slope": {"weight_gradient", "bias_gradient", "updated_weight", "updated_bias"},
    "penalized_number": {"weight_gradient", "bias_gradient", "updated_weight", "updated_bias"},
    "penalized": {"weight_gradient", "bias_gradient", "updated_weight", "updated_bias"},
    **{stage: {"updated_weight", "updated_bias"} for stage in _OF_TRAINING},
}
EVERY_QUANTITY = frozenset().union(*_GIVES.values())


class Swapped(Stages):
    """Stages with a mistake in them.

    ``gives`` are the quantities that the mistake changes; by default they follow from the replaced methods.
    """

    gives: ClassVar[frozenset[str] | None] = None

    @classmethod
    def strings_pass(cls) -> bool:
        """Whether the mistake is in the order of whole passes (``whole_pass``), so that it cannot be limited to a
        place.
        """
        return cls.whole_pass is not Stages.whole_pass

    @classmethod
    def for_case(cls, case: Case) -> type[Stages]:  # noqa: ARG003 - of two bugs at once, those that matter
        """The stages to compute a case with."""
        return cls

    @classmethod
    def matters(cls, case: Case) -> bool:  # noqa: ARG003 - most bugs may show anywhere
        """Whether the mistake can make a difference for ``case``: a quick test that may save a pass."""
        return True


class SwappedRules(Swapped):
    """Rules of a circuit with a mistake in them: the rules that layers of every kind are made of.

    ``kinds`` are the kinds of layers concerned (all by default). ``value`` is wrong forward, ``share`` wrong backward,
    ``equations`` replaces those of a layer. A rule is recognised by its class, its table's ``role``, its ``layer`` and
    its ``spec`` (the layer's fields).
    """

    kinds: ClassVar[tuple[str, ...]] = ()

    #: True in a class that is no mistake itself but a base of several: two mistakes that share it can be combined.
    common: ClassVar[bool] = True

    def kinds_of(self, family: type[SwappedRules]) -> tuple[str, ...]:
        """``kinds`` as the bug of this family defines it, so that each of two combined bugs keeps its own layers."""
        return _kinds_of(type(self), family)  # type: ignore[arg-type] # a class can be hashed

    @classmethod
    def matters(cls, case: Case) -> bool:
        """Whether the case has such a layer."""
        return not cls.kinds or any(layer.kind in cls.kinds for layer in case.network.layers)


#: The wrong formula, or a pair of the right and the wrong one.
Formula = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to make the mistake. ``usual`` variants are also tried in pairs, and in one layer only.

    ``right``, ``wrong`` and ``sentence`` replace those of the bug's page where they describe another way to make it.
    """

    stages: type[Swapped]
    label: str = ""
    usual: bool = True
    right: str = ""
    wrong: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug's page and its variants (none for a bug that is not recognised by its numbers).

    ``right`` and ``wrong`` are the formulas, ``by_activation`` both for single activations (where they depend on that);
    ``stays_right`` says which values do not show it; ``confused_with`` are codes; ``example`` is code with the mistake
    and its fix.
    """

    code: str
    name: str
    sentence: str
    right: str
    wrong: str
    stays_right: str
    fix: str
    example: str = ""
    confused_with: tuple[str, ...] = ()
    seen: str = ""
    by_activation: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    by_label: Mapping[str, Formula] = dataclasses.field(default_factory=dict)
    """Formulas of variants, by parts of their labels."""
    variants: tuple[Variant, ...] = ()

    def formulas(self, variant: Variant | None = None, activations: Container[str] | None = None) -> tuple[str, str]:
        """The right and the wrong formula: those of the variant, if it has any; for these activations (None: for
        all).
        """
        texts = [(variant and variant.right) or self.right, (variant and variant.wrong) or self.wrong]
        if variant is None or not variant.wrong:
            for name, pair in self.by_activation.items():
                if activations is None or name in activations:
                    texts = [
                        f"{text}, for {name.replace('_', ' ')} {own}" for text, own in zip(texts, pair, strict=True)
                    ]
        return texts[0], texts[1]

    @property
    def title(self) -> str:
        """The name in words: ``hidden derivative missing``."""
        return self.name.replace("-", " ")


@functools.cache
def _kinds_of(stages: type, family: type) -> tuple[str, ...]:
    own = (vars(each)["kinds"] for each in stages.__mro__ if issubclass(each, family) and "kinds" in vars(each))
    return next(own, ())


_KNOWN: dict[type[Swapped], frozenset[str]] = {}


def swapped_quantities(stages: type[Swapped]) -> frozenset[str]:
    """The quantities that the replaced stages change."""
    if stages not in _KNOWN:
        _KNOWN[stages] = _swapped_quantities(stages)
    return _KNOWN[stages]


def _swapped_quantities(stages: type[Swapped]) -> frozenset[str]:
    if stages.gives is not None:
        return stages.gives
    if stages.strings_pass():
        return EVERY_QUANTITY
    found: set[str] = {"delta", "loss"} if not stages.fused else set()
    for kind in stages.__mro__[: stages.__mro__.index(Swapped)]:
        if "prepare" in vars(kind):
            return EVERY_QUANTITY
        for name in vars(kind):
            found |= _GIVES.get(name, set())
    return frozenset(found)


def variant(stages: type[Swapped], label: str = "", *, usual: bool = True, **attributes: Any) -> Variant:
    """A variant of ``stages`` with other class attributes.

    An attribute ``how`` may be private to its class (``__how``), so that each of two combined bugs keeps its own.
    """
    attributes = {_own_name(stages, name): value for name, value in attributes.items()}
    return Variant(type(stages.__name__, (stages,), attributes) if attributes else stages, label, usual)


def written(each: Variant, wrong: str, right: str = "", sentence: str = "") -> Variant:
    """The same variant with its own formulas (and sentence)."""
    return dataclasses.replace(each, right=right, wrong=wrong, sentence=sentence)


def _own_name(stages: type[Swapped], name: str) -> str:
    """The mangled name of an attribute that is private to a class; else the name itself."""
    own = (f"_{kind.__name__.lstrip('_')}__{name}" for kind in stages.__mro__)
    return name if hasattr(stages, name) else next((each for each in own if hasattr(stages, each)), name)


def variants(*wrong: type[Swapped] | Variant) -> tuple[Variant, ...]:
    """Each as a variant; a plain class is a usual one."""
    return tuple(each if isinstance(each, Variant) else Variant(each) for each in wrong)


def composed_too(wrong: Iterable[Variant]) -> tuple[Variant, ...]:
    """Each variant, and the same for an author who computes the δ of cross-entropy by the chain rule and not as p
    − t.
    """
    found = list(wrong)
    composed = ((each, variant(each.stages, each.label, usual=False, fused=False)) for each in found)
    return (*found, *(written(other, each.wrong, each.right, each.sentence) for each, other in composed))


def activations_of(case: Case) -> set[str]:
    """The activations of the case's layers."""
    return {layer.activation for layer in case.network.layers}


def report(
    p: Pass,
    m: Any,
    *,
    last: bool,
    unless: Container[str] = (),
    written: Callable[[LayerPass, str, Any], Any] = lambda _l, _name, row: row,
) -> None:
    """Report a pass that was computed unseen, except for the quantities in ``unless``.

    ``written(l, name, row)`` rearranges the row of a parameter (its gradient, its new values) of that name.
    """
    network, step = p.case.network, p.step

    def part(quantity: str, layer: int | None, values: Any, start: int, width: int) -> None:
        if quantity not in unless:
            m.seen_part(quantity, layer, step, values, start, width)

    def row(quantity: str, l: LayerPass, values: Any, shape: tuple[int, ...]) -> None:
        if quantity not in unless:
            m.seen_row(quantity, l.index, step, values, shape, last=last)

    for l in p.layers:
        layer = network.layers[l.index]
        for table in l.output.z:
            at = table.reported
            if at is not None and "z" in layer.reported:
                part("z", at.layer, table.values, at.start, at.width)
            if at is not None:
                part("delta", at.layer, table.error, at.start, at.width)
        part("a", l.index, l.output.a.values, 0, l.output.a.units)
        for name, values in l.buffers.items():
            row(f"{name}_buffer", l, values, (l.output.buffers[name].units,))
        shapes = layer.parameter_shapes(network.input_shapes[l.index])
        for name, table in l.parameters.items():
            shape, of = trace_shape(shapes[name]), quantity_of(name)
            row(f"{of}_gradient", l, written(l, name, table.error), shape)
            if p.updated is not None:
                row(f"updated_{of}", l, written(l, name, p.updated[l.index][name]), shape)
    if "loss" not in unless:
        m.seen("loss", None, step, p.loss)
    part("input_gradient", None, p.input_gradient, 0, p.inputs.units)


def report_update(p: Pass, updated: list[Named], m: Any, *, last: bool) -> list[Named]:
    """Report parameters that were computed unseen; returns those with which the next step begins."""
    network, shown = p.case.network, []
    for l, values in zip(p.layers, updated, strict=True):
        shapes = network.layers[l.index].parameter_shapes(network.input_shapes[l.index])
        shown.append(
            {
                name: m.seen_row(
                    f"updated_{quantity_of(name)}", l.index, p.step, row, trace_shape(shapes[name]), last=last
                )
                for name, row in values.items()
            }
        )
    return shown
