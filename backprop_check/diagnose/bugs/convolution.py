"""BP7xx: convolution and pooling."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from backprop_check.diagnose.bug import Bug, SwappedRules, variants
from backprop_check.kinds.kind import size
from backprop_check.kinds.wiring import Wiring

if TYPE_CHECKING:
    from backprop_check.reference.circuit import Rule

_CONVOLUTIONS = ("conv2d",)


class OfConvolution(SwappedRules):
    """Something wrong in a convolution."""

    kinds = _CONVOLUTIONS

    @staticmethod
    def is_sum(rule: Rule) -> bool:
        """Whether a rule is a convolution's weighted sum."""
        return rule.out.role == "z" and rule.spec is not None and rule.spec.kind in _CONVOLUTIONS


@functools.lru_cache(maxsize=64)
def _flipped(wiring: Wiring, area: int) -> Wiring:
    """The same windows with every channel of the kernel read from its end."""
    uses = [[use - use % area + area - 1 - use % area for use in row] for row in wiring.uses.rows]
    return Wiring(wiring.inputs, wiring.weights, wiring.reads.rows, uses)


class FlippedForward(OfConvolution):
    """z = Σ w[−k] x: a true convolution, where cross-correlation is meant."""

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not self.is_sum(rule):
            return super().value(rule, s, o)
        (source,) = rule.sources
        wiring = _flipped(source.wiring, size(rule.spec.kernel_size))
        terms = [(source.x.values[s, wiring.reads[o]], source.weights.values[s, wiring.uses[o]])]
        return self.m.dots(terms, [bias.values[s, of[o]] for bias, of in rule.biases])


BUGS = (
    Bug(
        code="BP702",
        name="conv-kernel-flipped-forward",
        sentence="The kernel is flipped on its way over the input: that is a true convolution, and what is called so in"
        " neural networks is a cross-correlation.",
        right="z[c, y, x] = Σ w[c, i, ky, kx] · in[i, y + ky, x + kx] + b[c]",
        wrong="z[c, y, x] = Σ w[c, i, K − 1 − ky, K − 1 − kx] · in[i, y + ky, x + kx] + b[c]",
        stays_right="with a kernel that is the same from both ends, everything; the bias's gradient follows δ",
        fix="Read the kernel in the order of the window: w[ky][kx] meets in[y + ky][x + kx].",
        variants=variants(FlippedForward),
    ),
)
