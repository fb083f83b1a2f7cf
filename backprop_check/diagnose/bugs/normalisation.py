"""BP901 to BP909: normalisation, dropout and embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, variant, variants

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.reference.rules import Rule

_NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")
_WITH_MEAN = _NORMS[:-1]
_DROPOUT = ("dropout",)
_EMBEDDING = ("embedding",)


class OfNormalisation(SwappedRules):
    """The base of mistakes in layers of these kinds."""

    #: Whether the mistake shows only in training: evaluation uses running statistics, and no dropout mask.
    in_training: ClassVar[bool] = True

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(
            layer.kind in cls.kinds and (getattr(layer, "training", True) or not cls.in_training)
            for layer in case.network.layers
        )


def _is_at(rule: Rule, place: str, kinds: tuple[str, ...]) -> bool:
    """Whether a rule computes the table called ``place`` in a layer of one of these kinds."""
    return rule.out.role == place and rule.spec is not None and rule.spec.kind in kinds


def _nothing(m: Any, share: tuple[Any, Any]) -> tuple[Any, Any]:
    """The same share with an error of 0."""
    error, slope = share
    return m.vector(lambda x: x * 0.0, error), slope


# Two mistakes may be combined in one class, so their attributes must have different names.

# Normalisation ---------------------------------------------------------------------------------------


class MeanTermMissing(OfNormalisation):
    """No gradient flows back through μ."""

    kinds = _WITH_MEAN

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        found = super().share(rule, role, s, i)
        return _nothing(self.m, found) if _is_at(rule, "centered", _WITH_MEAN) and role == ("x", 1) else found


class VarianceTermMissing(OfNormalisation):
    """No gradient flows back through σ²."""

    kinds = _NORMS

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        found = super().share(rule, role, s, i)
        return _nothing(self.m, found) if _is_at(rule, "variance", _NORMS) else found


class BothConstant(VarianceTermMissing):
    """No gradient flows back through σ² and μ."""

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        found = super().share(rule, role, s, i)
        return _nothing(self.m, found) if _is_at(rule, "centered", _WITH_MEAN) and role == ("x", 1) else found


class ScaleMissing(OfNormalisation):
    """∂L/∂x̂ = ∂L/∂a, without γ."""

    kinds = _NORMS
    in_training = False

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(layer.kind in cls.kinds and layer.arrays() for layer in case.network.layers)

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        error, slope = super().share(rule, role, s, i)
        return (error, None) if _is_at(rule, "affine", _NORMS) and role[0] == "x" else (error, slope)


class VarianceLessOne(OfNormalisation):
    """σ² = Σ(x − μ)²/(n − 1), forwards and perhaps backwards."""

    kinds = _WITH_MEAN
    less_one_backward: ClassVar[bool] = True

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if _is_at(rule, "variance", _WITH_MEAN):
            return rule.x.values[s, o] / self._less_one(rule)
        return super().value(rule, s, o)

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if self.less_one_backward and _is_at(rule, "variance", _WITH_MEAN):
            return self.m.one(rule.out.error[s, i]), self.m.one(1 / self._less_one(rule))
        return super().share(rule, role, s, i)

    def _less_one(self, rule: Any) -> Any:
        return self.m.number(max(rule.alpha - 1.0, 1.0))


class RunningVariance(OfNormalisation):
    """The running variance uses Σ(x − μ)²/n, or is corrected by n/(n − 1) twice."""

    kinds = ("batch_norm",)

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        right = super().value(rule, s, o)
        if not _is_at(rule, "running_var", _NORMS):
            return right
        source = rule.sources[1]
        (n,) = {reader.alpha for reader, _ in source.x.readers if reader.out.role == "variance"}
        own = self.m.dots(
            [(source.x.values[s, source.wiring.reads[o]], source.weights.values[s, source.wiring.uses[o]])], []
        )
        return self.moved(right, own, n)

    def moved(self, right: Any, own: Any, n: float) -> Any:
        """The wrong running variance; ``own`` is momentum · Σ(x − μ)²/(n − 1)."""
        return right - own / self.m.number(n)


class RunningVarianceTwice(VarianceLessOne):
    """n − 1 for the batch's variance, and the factor n/(n − 1) once more for the running one."""

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if rule.out.role == "running_var":
            return _Twice(self.m).value(rule, s, o)
        return super().value(rule, s, o)


class _Twice(RunningVariance):
    def moved(self, right: Any, own: Any, n: float) -> Any:
        return right + own / self.m.number(max(n - 1.0, 1.0))


class EpsilonOutside(OfNormalisation):
    """1/(σ + ε) in place of 1/√(σ² + ε); ``epsilon_backward`` is its derivative in the backward pass."""

    kinds = _NORMS
    in_training = False
    epsilon_backward: ClassVar[str] = "its own"

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        m = self.m
        if self.epsilon_backward != "right" and _is_at(rule, "inverse", _NORMS):
            return 1 / (m.sqrt(rule.x.values[s, o]) + m.number(rule.alpha))
        if self.epsilon_backward == "right" and _is_at(rule, "normalised", _NORMS):
            (source,) = rule.sources
            made, used = source.weights.made_by, source.wiring.uses[o]
            variances, eps = made.x.values[s, used], m.number(made.alpha)
            inverse = m.vector(lambda variance: 1 / (m.sqrt(variance) + eps), variances)
            return m.dots([(source.x.values[s, source.wiring.reads[o]], inverse)], [])
        return super().value(rule, s, o)

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        m = self.m
        if self.epsilon_backward == "its own" and _is_at(rule, "inverse", _NORMS):
            inverse, variance = rule.out.values[s, i], rule.x.values[s, i]
            return m.one(rule.out.error[s, i]), m.one(-(inverse * inverse / m.sqrt(variance)) / 2)
        if self.epsilon_backward == "cube" and _is_at(rule, "inverse", _NORMS):
            inverse = rule.out.values[s, i]
            return m.one(rule.out.error[s, i]), m.one(-(inverse * inverse * inverse) / 2)
        return super().share(rule, role, s, i)


# Dropout ---------------------------------------------------------------------------------------------


class MaskUnapplied(OfNormalisation):
    """∂L/∂x = ∂L/∂a · 1/(1 − p), whether a unit was dropped or not."""

    kinds = _DROPOUT
    unscaled_too: ClassVar[bool] = False

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        error, slope = super().share(rule, role, s, i)
        unapplied = _is_at(rule, "kept", _DROPOUT) and role[0] == "x"
        return (
            (error, None) if unapplied or (self.unscaled_too and _is_at(rule, "scaled", _DROPOUT)) else (error, slope)
        )


class DropoutScaleMissing(OfNormalisation):
    """a = x · mask, without 1/(1 − p)."""

    kinds = _DROPOUT
    scale_forward: ClassVar[bool] = True
    scale_backward: ClassVar[bool] = True

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        return (
            rule.x.values[s, o]
            if self.scale_forward and _is_at(rule, "scaled", _DROPOUT)
            else super().value(rule, s, o)
        )

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        error, slope = super().share(rule, role, s, i)
        return (error, None) if self.scale_backward and _is_at(rule, "scaled", _DROPOUT) else (error, slope)


class MaskFromZeros(OfNormalisation):
    """The mask is taken to be a ≠ 0."""

    kinds = _DROPOUT

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if _is_at(rule, "kept", _DROPOUT) and role[0] == "x":
            seen = self.m.where_positive(abs(rule.out.values[s, i]), 1.0, 0.0)
            return self.m.one(rule.out.error[s, i]), self.m.one(seen)
        return super().share(rule, role, s, i)


# Embedding -------------------------------------------------------------------------------------------


class DuplicatesLost(OfNormalisation):
    """Of the places where an index is looked up, only one contributes to the gradient of its row."""

    kinds = _EMBEDDING
    first_counts: ClassVar[bool] = False
    by_sample: ClassVar[bool] = False

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        error, slope = super().share(rule, role, s, i)
        if not (_is_at(rule, "looked_up", _EMBEDDING) and role == ("weights", 0)):
            return error, slope
        _, inputs = rule.sources[0].wiring.by_weight
        return error, self.m.given_grid(self._counted(rule.spec, rule.case.inputs))[s, inputs[i]]

    def _counted(self, spec: Any, samples: Any) -> list[list[float]]:
        """1 where an index was looked up and counts, else 0."""
        rows: list[list[float]] = spec.chosen(samples)
        indices = spec.rows(samples)
        places = [(s, at) for s, row in enumerate(rows) for at, one in enumerate(row) if one]
        seen: set[tuple[int, int]] = set()
        for s, at in places if self.first_counts else reversed(places):
            index = indices[at % len(indices)]
            key = (s if self.by_sample else -1, index)
            if key in seen or index == spec.padding_idx:
                rows[s][at] = 0.0
            seen.add(key)
        return rows


BUGS = (
    Bug(
        "BP901",
        "norm-mean-term-missing",
        "A normalisation's backward pass treats the mean as a constant: the gradient through it is left out.",
        right="∂L/∂x = (1/σ)(g − mean(g) − x̂ · mean(g x̂)), with g = γ ∂L/∂a and σ = √(var + ε)",
        wrong="∂L/∂x = (1/σ)(g − x̂ · mean(g x̂))",
        stays_right="the forward pass, and the gradients of γ and β; evaluation, where the statistics are constants",
        fix="every x of the group changes its mean, so subtract the mean of g",
        example="dx = inv * (g - xhat * (g * xhat).mean())             # BP901\ndx = inv * (g - g.mean() - xhat * (g * xhat).mean())  # right\n",
        confused_with=("BP902",),
        seen="mlpack#2474",
        variants=variants(MeanTermMissing),
    ),
    Bug(
        "BP902",
        "norm-variance-term-missing",
        "A normalisation's backward pass treats the variance as a constant: the gradient through it is left out.",
        right="∂L/∂x = (1/σ)(g − mean(g) − x̂ · mean(g x̂)), with g = γ ∂L/∂a and σ = √(var + ε)",
        wrong="∂L/∂x = (1/σ)(g − mean(g))",
        stays_right="the forward pass, and the gradients of γ and β; evaluation, where the statistics are constants",
        fix="every x of the group changes its variance, so subtract x̂ times the mean of g x̂",
        example="dx = inv * (g - g.mean())                             # BP902\ndx = inv * (g - g.mean() - xhat * (g * xhat).mean())  # right\n",
        confused_with=("BP901",),
        variants=variants(
            VarianceTermMissing, variant(BothConstant, "nor does anything go through the mean: both are constants")
        ),
    ),
    Bug(
        "BP903",
        "norm-scale-missing",
        "A normalisation's backward pass leaves the scale γ out.",
        right="∂L/∂x̂ = γ ∂L/∂a",
        wrong="∂L/∂x̂ = ∂L/∂a",
        stays_right="the forward pass, and the gradients of γ and β; all, where γ is 1 (as it is at the start of training)",
        fix="multiply by γ on the way back, before anything else",
        example="g = da          # BP903\ng = da * gamma  # right\n",
        confused_with=("BP901", "BP902"),
        seen="Knet.jl#288",
        variants=variants(ScaleMissing),
    ),
    Bug(
        "BP904",
        "norm-variance-n-minus-one",
        "A variance is divided by the wrong count: numbers are normalised by the sum of squares over n, while the running"
        " variance of a batch norm moves towards the sum over n − 1.",
        right="var = (1/n) Σ (x − μ)², running var⁺ = (1 − m) running var + m (1/(n − 1)) Σ (x − μ)²",
        wrong="var = (1/(n − 1)) Σ (x − μ)²",
        stays_right="nearly everything, where n is large; the gradient of β",
        fix="n to normalise (ddof=0, unbiased=False, correction=0), n − 1 for the running variance only",
        example="var = x.var(ddof=1)  # BP904\nvar = x.var()        # right\n",
        confused_with=("BP905",),
        variants=variants(
            variant(VarianceLessOne, "n − 1 forward and backward"),
            variant(VarianceLessOne, "n − 1 forward, n backward", less_one_backward=False),
            variant(RunningVariance, "n for the running variance"),
            variant(RunningVarianceTwice, "n − 1 forward and backward, and twice for the running variance"),
            variant(RunningVarianceTwice, "n − 1 forward, and twice for the running variance", less_one_backward=False),
        ),
    ),
    Bug(
        "BP905",
        "norm-epsilon-outside-sqrt",
        "ε is added to the standard deviation, not to the variance below the root.",
        right="x̂ = (x − μ)/√(var + ε)",
        wrong="x̂ = (x − μ)/(√var + ε)",
        stays_right="the mean, the running statistics, the gradient of β; all but the last digits, where ε is 10⁻⁵ and the"
        " variance is not small",
        fix="add ε to the variance, then take the root",
        example="inv = 1 / (sqrt(var) + eps)  # BP905\ninv = 1 / sqrt(var + eps)    # right\n",
        confused_with=("BP904",),
        variants=variants(
            variant(EpsilonOutside, "forward and backward"),
            variant(EpsilonOutside, "forward; the usual backward pass with that 1/σ", epsilon_backward="cube"),
            variant(EpsilonOutside, "forward; backward with 1/σ and var + ε", epsilon_backward="mixed", usual=False),
            variant(EpsilonOutside, "forward only", epsilon_backward="right"),
        ),
    ),
    Bug(
        "BP906",
        "dropout-mask-unapplied-backward",
        "Dropout's backward pass does not apply the mask: units that were dropped get a gradient.",
        right="∂L/∂x = ∂L/∂a · mask/(1 − p)",
        wrong="∂L/∂x = ∂L/∂a/(1 − p)",
        stays_right="the forward pass, and the gradient of what was kept",
        fix="keep the mask of the forward pass, and multiply by it on the way back",
        example="dx = da / (1 - p)         # BP906\ndx = da * mask / (1 - p)  # right\n",
        confused_with=("BP907", "BP908"),
        seen="numpy-ml#94",
        variants=variants(MaskUnapplied, variant(MaskUnapplied, "nor the scale", unscaled_too=True)),
    ),
    Bug(
        "BP907",
        "dropout-scale-missing",
        "Dropout does not divide what it keeps by 1 − p.",
        right="a = x · mask/(1 − p), ∂L/∂x = ∂L/∂a · mask/(1 − p)",
        wrong="a = x · mask",
        stays_right="evaluation, which scales nothing; all, where p is 0",
        fix="divide by 1 − p in training, forward and backward (inverted dropout)",
        example="a = x * mask            # BP907\na = x * mask / (1 - p)  # right\n",
        confused_with=("BP906",),
        variants=variants(
            variant(DropoutScaleMissing, "neither forward nor backward"),
            variant(DropoutScaleMissing, "not forward", scale_backward=False),
            variant(DropoutScaleMissing, "not backward", scale_forward=False),
        ),
    ),
    Bug(
        "BP908",
        "dropout-mask-from-zeros",
        "Dropout derives its mask from the zeros of its output: a unit that was kept but is 0 counts as dropped.",
        right="∂L/∂x = ∂L/∂a · mask/(1 − p)",
        wrong="∂L/∂x = ∂L/∂a · [a ≠ 0]/(1 − p)",
        stays_right="the forward pass; everything, where no unit is exactly 0",
        fix="keep the mask of the forward pass",
        example="dx = da * (a != 0) / (1 - p)  # BP908\ndx = da * mask / (1 - p)      # right\n",
        confused_with=("BP906",),
        seen="kaldi#3890",
        variants=variants(MaskFromZeros),
    ),
    Bug(
        "BP909",
        "embedding-duplicates-lost",
        "An index that is looked up several times gives its row the gradient of one place only.",
        right="∂L/∂w[v] = Σ of ∂L/∂a[s, t] over all places where x[s, t] = v",
        wrong="∂L/∂w[v] = ∂L/∂a[s, t] of the last such place",
        stays_right="the forward pass; rows that are looked up once",
        fix="add up by index (numpy: np.add.at; += with an array of indices keeps only the last)",
        example="dw[x] += da             # BP909\nnp.add.at(dw, x, da)    # right\n",
        confused_with=("BP404",),
        seen="HIPS/autograd#39",
        variants=variants(
            variant(DuplicatesLost, "the last of the batch"),
            variant(DuplicatesLost, "the last of each sample", by_sample=True),
            variant(DuplicatesLost, "the first of the batch", first_counts=True),
            variant(DuplicatesLost, "the first of each sample", first_counts=True, by_sample=True, usual=False),
        ),
    ),
)
