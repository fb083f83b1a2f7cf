"""Bugs of networks that branch: outputs with several readers, sums, products, concatenations, shared weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, Variant, variant, variants
from backprop_check.diagnose.rules import is_learnt, nothing, times
from backprop_check.kinds.wiring import Index
from backprop_check.reference.rules import Given, WeightedSum, read_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backprop_check.case.network import Case
    from backprop_check.reference.rules import Rule, Table


def _combines(case: Case, how: str) -> bool:
    return any(len(layer.from_) > 1 and layer.combine == how for layer in case.network.layers)


def _adds(case: Case) -> bool:
    return _combines(case, "add")


def _joins(case: Case) -> bool:
    return _combines(case, "concat")


def _multiplies(case: Case) -> bool:
    return _combines(case, "multiply")


def _shares(case: Case) -> bool:
    return any(layer.shares for layer in case.network.layers)


def _fans_out(case: Case) -> bool:
    """Whether any output, or the input, is read twice."""
    read = [source for sources in case.network.sources for source in sources]
    return len(set(read)) < len(read)


def is_combined(rule: Rule, how: str) -> bool:
    """Whether a rule combines several outputs in that way."""
    return rule.out.role == "combined" and rule.spec is not None and rule.spec.combine == how


class Edges:
    """The readers of a layer's output (or of the input): each layer, and the position in its list of sources."""

    def __init__(self, table: Table) -> None:
        own = -1 if table.made_by is None else table.made_by.layer
        self.inside = own
        self.edges = sorted({self.edge(rule, role) for rule, role in table.readers if self.leaves(rule)})

    def leaves(self, rule: Rule) -> bool:
        """Whether the rule belongs to another layer."""
        return not isinstance(rule, Given) and rule.layer != self.inside

    @staticmethod
    def edge(rule: Rule, role: tuple[str, int]) -> tuple[int, int]:
        """The layer, and the position in its ``from``."""
        return rule.layer, _place(rule, role) if rule.out.role == "combined" else 0


def _place(rule: Rule, role: tuple[str, int]) -> int:
    """The position of the output that a rule reads in that role. A product of many is computed two by two."""
    what, number = role
    assert isinstance(rule, WeightedSum)
    if rule.sources[0].weights is None:
        return number
    first = rule.sources[0].x
    depth = 0
    while first.role == "combined" and first.made_by is not None and first.made_by.layer == rule.layer:
        assert isinstance(first.made_by, WeightedSum)
        first, depth = first.made_by.sources[0].x, depth + 1
    return depth + 1 if what == "weights" else 0


class ReadersOverwrite(SwappedRules):
    """Of all layers that read an output, only one contributes to its gradient: the one that wrote last, or first."""

    __latest: ClassVar[bool] = False

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        table = read_by(rule, role)
        if table is None:
            return right
        edges = Edges(table)
        if table.parameter or not edges.leaves(rule) or len(edges.edges) < 2:  # noqa: PLR2004 - nothing to overwrite
            return right
        # The backward pass goes from the last layer to the first, and through the sources of each in order.
        layer = (max if self.__latest else min)(at for at, _ in edges.edges)
        kept = layer, max(place for at, place in edges.edges if at == layer)
        return right if edges.edge(rule, role) == kept else nothing(self.m, right)

    matters = staticmethod(_fans_out)


class ReadersCountedAgain(SwappedRules):
    """The error of an output is propagated once for each layer that reads it."""

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        table = read_by(rule, role)
        if table is None:
            return right
        edges = Edges(table)
        if table.parameter or table.made_by is None or not edges.leaves(rule):
            return right
        return right if len(edges.edges) < 2 else times(self.m, float(len(edges.edges)), right)  # noqa: PLR2004

    matters = staticmethod(_fans_out)


class PathMissing(SwappedRules):
    """Of outputs that are added, only one gets its gradient: ``kept`` is first, last (in ``from``), skip or block.

    ``forward``: the others are left out of the sum as well.
    """

    kept: ClassVar[str] = "block"
    __forward: ClassVar[bool] = False
    __backward: ClassVar[bool] = True

    def __kept(self, rule: WeightedSum) -> int:
        last = len(rule.sources) - 1
        layers = [-1 if source.x.made_by is None else source.x.made_by.layer for source in rule.sources]
        places = {"first": 0, "last": last, "block": layers.index(max(layers)), "skip": layers.index(min(layers))}
        return places[self.kept]

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not (self.__forward and is_combined(rule, "add")):
            return super().value(rule, s, o)
        return rule.sources[self.__kept(rule)].x.values[s, o]

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        if not (self.__backward and is_combined(rule, "add")) or role[1] == self.__kept(rule):
            return right
        return nothing(self.m, right)

    matters = staticmethod(_adds)


class SharedOverwritten(SwappedRules):
    """Of all layers that use the same parameters, only one contributes to their gradient."""

    __latest: ClassVar[bool] = False

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        table = read_by(rule, role)
        if not is_learnt(table):
            return right
        layers = [reader.layer for reader, _ in table.readers]
        return right if rule.layer == (max if self.__latest else min)(layers) else nothing(self.m, right)

    matters = staticmethod(_shares)


class SharedAveraged(SwappedRules):
    """The mean over all layers that use the same parameters, in place of the sum."""

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        table = read_by(rule, role)
        if not is_learnt(table):
            return right
        users = len({reader.layer for reader, _ in table.readers})
        return right if users == 1 else times(self.m, 1.0 / users, right)

    matters = staticmethod(_shares)


class SplitWrongly(SwappedRules):
    """The gradient of a concatenation is split at wrong places; ``how`` says where the parts begin.

    ``forward``: the parts are in that order forwards too (``backward`` False: only forwards).
    """

    __how: ClassVar[str] = "reversed"
    __forward: ClassVar[bool] = False
    __backward: ClassVar[bool] = True

    def __starts(self, rule: Any) -> list[int]:
        """The position where each part begins."""
        widths = [source.x.units for source in rule.sources]
        if self.__how == "start":
            return [0] * len(widths)
        order: Iterable[int] = range(len(widths) - 1, -1, -1)
        if self.__how == "layers":
            layers = [-1 if source.x.made_by is None else source.x.made_by.layer for source in rule.sources]
            order = sorted(range(len(widths)), key=lambda number: layers[number])
        starts, start = [0] * len(widths), 0
        for number in order:
            starts[number], start = start, start + widths[number]
        return starts

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not (self.__forward and is_combined(rule, "concat")):
            return super().value(rule, s, o)
        starts = self.__starts(rule)
        terms = [
            (
                source.x.values[
                    s,
                    Index([[at - start] if 0 <= at - start < source.x.units else [] for at in range(rule.out.units)])[
                        o
                    ],
                ],
                None,
            )
            for source, start in zip(rule.sources, starts, strict=True)
        ]
        return self.m.dots(terms, [])

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not (self.__backward and is_combined(rule, "concat")):
            return super().share(rule, role, s, i)
        start, units = self.__starts(rule)[role[1]], rule.sources[role[1]].x.units
        return rule.out.error[s, Index([[start + at] for at in range(units)])[i]], None

    matters = staticmethod(_joins)


class WrongFactor(SwappedRules):
    """The derivative of x·y·… with respect to x: x itself (``own``), or 1."""

    own: ClassVar[bool] = True

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        table = read_by(rule, role)
        if table is None or not is_combined(rule, "multiply"):
            return super().share(rule, role, s, i)
        partial = table.role == "combined" and table.made_by is not None and table.made_by.layer == rule.layer
        g = self.m.one(rule.out.error[s, i])
        return g, self.m.one(table.values[s, i]) if self.own and not partial else None

    matters = staticmethod(_multiplies)


#: By code: further variants of bugs that have their pages.
VARIANTS: dict[str, tuple[Variant, ...]] = {
    "BP108": variants(
        variant(ReadersOverwrite, "the first of the layers that read an output"),
        variant(ReadersOverwrite, "the last of the layers that read an output", latest=True),
    ),
    "BP117": variants(variant(ReadersCountedAgain, "once for each layer that reads an output")),
}

BUGS = (
    Bug(
        "BP125",
        "shared-gradient-overwritten",
        "Layers that share their weights each bring a part of the gradient, and these are not added up.",
        right="∂L/∂w = Σ over all uses of w",
        wrong="∂L/∂w = the part of one use",
        stays_right="the forward pass and the deltas; weights that are used once",
        fix="add to the gradient (+=) wherever the weights are used; set it to 0 before the pass, not inside of it",
        example="for layer in reversed(layers): grad[layer.weights] = layer.gradient()   # BP125\n"
        "for layer in reversed(layers): grad[layer.weights] += layer.gradient()  # right\n",
        confused_with=("BP108", "BP802"),
        by_label={
            "only the first of the layers that use them counts": "∂L/∂w = the part of the first use",
            "only the last of the layers that use them counts": "∂L/∂w = the part of the last use",
            "the mean over the layers that use them": "∂L/∂w = (1/n) Σ over all n uses of w",
        },
        variants=variants(
            variant(SharedOverwritten, "only the first of the layers that use them counts"),
            variant(SharedOverwritten, "only the last of the layers that use them counts", latest=True),
            variant(SharedAveraged, "the mean over the layers that use them"),
        ),
    ),
    Bug(
        "BP126",
        "concat-split-wrong",
        "A concatenation is joined in another order than it should be, or its gradient is split in another order or at"
        " other places.",
        right="∂L/∂x of each part: its own places of ∂L/∂(x, y, …), in the order of the parts",
        wrong="∂L/∂x of a part: another part's places",
        stays_right="the forward pass where only the way back is wrong; all layers after the concatenation",
        fix="go through the parts in one order, forwards and backwards, and move the start by each part's length",
        example="start = 0\nfor part in reversed(parts):    # BP126\nfor part in parts:              # right\n"
        "    part.grad += grad[start : start + len(part)]\n    start += len(part)\n",
        confused_with=("BP108",),
        by_label={
            "forwards only": ("(x, y, …) in the order of the parts", "(x, y, …) in another order"),
            "forwards and backwards": ("(x, y, …) in the order of the parts", "(x, y, …) in another order, both ways"),
            "every part from the first place on": "∂L/∂x of a part: as many places, from the first one on",
        },
        variants=variants(
            variant(SplitWrongly, "in the reverse order, backwards only"),
            variant(SplitWrongly, "every part from the first place on", how="start"),
            variant(SplitWrongly, "in the order of the layers, backwards only", how="layers"),
            variant(SplitWrongly, "in the order of the layers, forwards and backwards", how="layers", forward=True),
            variant(SplitWrongly, "in the reverse order, forwards and backwards", forward=True),
            variant(
                SplitWrongly,
                "in the order of the layers, forwards only",
                how="layers",
                forward=True,
                backward=False,
                usual=False,
            ),
            variant(SplitWrongly, "in the reverse order, forwards only", forward=True, backward=False, usual=False),
        ),
    ),
    Bug(
        "BP127",
        "product-factor-wrong",
        "The gradient of a product is multiplied by the wrong factor: each factor's slope is the product of the others.",
        right="∂L/∂x = ∂L/∂(x·y) · y",
        wrong="∂L/∂x = ∂L/∂(x·y) · x",
        stays_right="the forward pass; all layers after the product",
        fix="keep both factors of the forward pass: x's gradient is multiplied by y, y's by x",
        example="x.grad += grad * x  # BP127\nx.grad += grad * y  # right\n",
        confused_with=("BP102",),
        by_label={"no factor": "∂L/∂x = ∂L/∂(x·y)"},
        variants=variants(
            variant(WrongFactor, "its own value"),
            variant(WrongFactor, "no factor, as if it were a sum", own=False),
        ),
    ),
    Bug(
        "BP913",
        "residual-path-missing",
        "One term of a sum gets no gradient: the skip connection, or the path that it skips.",
        right="y = x + F(x): ∂L/∂x = ∂L/∂y + what comes back through F",
        wrong="∂L/∂x = what comes back through F (or ∂L/∂y alone)",
        stays_right="the forward pass; all layers after the sum",
        fix="a sum passes its whole gradient on to each of its terms",
        example="x.grad = F.backward(grad)          # BP913\nx.grad = grad + F.backward(grad)   # right\n",
        confused_with=("BP108",),
        variants=variants(
            variant(PathMissing, "only the latest of the layers that are added gets it", kept="block"),
            variant(PathMissing, "only the earliest of the layers that are added gets it", kept="skip"),
            variant(PathMissing, "only the first of the layers that are added gets it", kept="first"),
            variant(PathMissing, "only the last of the layers that are added gets it", kept="last"),
            variant(PathMissing, "the others are not added forwards either", kept="block", forward=True),
            variant(PathMissing, "the others are not added forwards", kept="block", forward=True, backward=False),
        ),
    ),
)
