"""BP8xx: the gates of recurrent layers: their order, biases and derivatives, and the reset of a GRU."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Variant, variant, variants, written
from backprop_check.diagnose.bugs.recurrent import OfRecurrent, recurrent_layers
from backprop_check.reference.rules import Function, WeightedSum

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.kinds.unroll import Direction
    from backprop_check.reference.rules import Rule


class ForgetGateLeftOut(OfRecurrent):
    """The gradient of f·c with respect to the cell before, with 1 in place of f."""

    kinds: ClassVar[tuple[str, ...]] = ("lstm",)

    def swapped(self, rule: WeightedSum, role: tuple[str, int], s: Any, i: Any, d: Direction, t: int) -> Any:
        if rule.out.role == "cell" and role == ("x", 0):
            readers, _ = rule.sources[0].wiring.by_input
            return rule.out.error[s, readers[i]], None
        return super().swapped(rule, role, s, i, d, t)


class WithoutTanh(OfRecurrent):
    """The derivative of a tanh is left out, or computed from the wrong number."""

    kinds: ClassVar[tuple[str, ...]] = ("lstm",)
    __roles: ClassVar[tuple[str, ...]] = ("cell_tanh",)
    of_cell = False

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not (isinstance(rule, Function) and rule.out.role in self.__roles and rule.spec.kind == "lstm"):
            return super().share(rule, role, s, i)
        m, error = self.m, rule.out.error[s, i]
        if not self.of_cell:
            return m.one(error), None
        x = rule.x.values[s, i]
        return m.one(error), m.one(m.number(1.0) - x * x)


class Permuted(OfRecurrent):
    """The parameters' blocks of rows are assigned to the gates in another order."""

    __order: ClassVar[str] = "ifgo"

    def block(self, layer: Any, gate: str) -> int:
        return self.__order.index(gate) if layer.kind in self.kinds_of(Permuted) else super().block(layer, gate)


#: The orders of some libraries: CS231n and ONNX (o before f), TensorFlow 1, Theano and Gomez; the GRUs of cuDNN and Keras.
_USUAL = ("ifog", "iofg", "igfo", "gifo", "figo", "fiog", "zrn")


def _permuted(kind: str, gates: str) -> list[Variant]:
    orders = ["".join(order) for order in itertools.permutations(gates)]
    return [
        variant(Permuted, f"in the order {', '.join(order)}", usual=order in _USUAL, kinds=(kind,), order=order)
        for order in orders
        if order != gates
    ]


class BiasOfOneGate(OfRecurrent):
    """The gradients of all gates' biases are computed from one gate's δ."""

    kinds: ClassVar[tuple[str, ...]] = ("lstm",)
    gate: ClassVar[str] = "f"

    def swapped(self, rule: WeightedSum, role: tuple[str, int], s: Any, i: Any, d: Direction, t: int) -> Any:
        what, number = role
        if what != "bias" or rule.spec.kind not in self.kinds_of(BiasOfOneGate):
            return super().swapped(rule, role, s, i, d, t)
        bias, places = rule.biases[number]
        return d.sums[t][self.gate].error[s, places.by_place(bias.units)[i]], None

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(
            layer.kind in cls.kinds and any(name.startswith("bias") for name in layer.parameters)
            for layer, _ in recurrent_layers(case)
        )


class OtherReset(OfRecurrent):
    """The reset is applied before the product where it should be after it, or the other way round."""

    kinds: ClassVar[tuple[str, ...]] = ("gru",)
    bias_outside = False

    def new_state(self, d: Direction, t: int, x: Any, h: Any, r: Any) -> Any:
        c, after = d.c, d.layer.reset_after
        if self.bias_outside:
            if not after:
                return super().new_state(d, t, x, h, r)
            product = d.sums[t]["product"] = c.weighted_sum([d.from_state(h, "n")], role="product")
            return d.gate("n", t, [d.from_input(x, "n"), (product, r, d.own)], d.biases("n"))
        if after:
            reset = c.multiply(h, r, role="reset")
            return d.gate("n", t, [d.from_input(x, "n"), d.from_state(reset, "n")], d.biases("n"))
        product = d.sums[t]["product"] = c.weighted_sum(
            [d.from_state(h, "n")], biases=d.biases("n")[1:], role="product"
        )
        return d.gate("n", t, [d.from_input(x, "n"), (product, r, d.own)], d.biases("n")[:1])


BUGS = (
    Bug(
        code="BP805",
        name="lstm-tanh-derivative-missing",
        sentence="The output is o · tanh(c), but the backward pass leaves out the derivative of that tanh.",
        right="∂L/∂cₜ = ∂L/∂hₜ · oₜ · (1 − tanh²(cₜ))",
        wrong="∂L/∂cₜ = ∂L/∂hₜ · oₜ",
        stays_right="the forward pass, and the δ of the output gate in the last step",
        fix="Keep tanh(cₜ) of the forward pass, and multiply by 1 − tanh²(cₜ).",
        example="dc = dh * o[t]                                 # wrong\n"
        "dc = dh * o[t] * (1 - np.tanh(c[t]) ** 2)      # right",
        confused_with=("BP804",),
        variants=variants(
            variant(WithoutTanh, ""),
            written(
                variant(WithoutTanh, "1 − c² in the place of 1 − tanh²(c)", of_cell=True),
                wrong="∂L/∂cₜ = ∂L/∂hₜ · oₜ · (1 − cₜ²)",
            ),
            written(
                variant(WithoutTanh, "that of g, the new content", roles=("g",)),
                wrong="δ_g = ∂L/∂cₜ · iₜ",
                right="δ_g = ∂L/∂cₜ · iₜ · (1 − gₜ²)",
            ),
            written(
                variant(WithoutTanh, "both tanh's", roles=("g", "cell_tanh")),
                wrong="∂L/∂cₜ = ∂L/∂hₜ · oₜ, and δ_g = ∂L/∂cₜ · iₜ",
                right="∂L/∂cₜ = ∂L/∂hₜ · oₜ · (1 − tanh²(cₜ)), and δ_g = ∂L/∂cₜ · iₜ · (1 − gₜ²)",
            ),
        ),
    ),
    Bug(
        code="BP806",
        name="lstm-gates-permuted",
        sentence="The blocks of rows are assigned to the gates in another order than the parameters have.",
        right="the rows of W_ih, W_hh and the biases are, block by block, those of i, f, g, o (a GRU: r, z, n)",
        wrong="another order of the gates",
        stays_right="z, the weighted sums themselves, in the first step",
        fix="PyTorch's order is i, f, g, o, a GRU's r, z, n. CS231n has i, f, o, g; TensorFlow 1 i, g, f, o; Keras's GRU z,"
        " r, n: reorder the rows when parameters come from elsewhere.",
        example="i, f, o, g = np.split(z, 4)    # wrong: CS231n's order\ni, f, g, o = np.split(z, 4)    # right",
        variants=variants(*_permuted("lstm", "ifgo"), *_permuted("gru", "rzn")),
    ),
    Bug(
        code="BP807",
        name="lstm-bias-from-forget-gate",
        sentence="The biases of all gates get the gradient of the forget gate's: one line, copied.",
        right="∂L/∂b_i = Σₜ δ_i, ∂L/∂b_f = Σₜ δ_f, ∂L/∂b_g = Σₜ δ_g, ∂L/∂b_o = Σₜ δ_o",
        wrong="∂L/∂b_i = ∂L/∂b_f = ∂L/∂b_g = ∂L/∂b_o = Σₜ δ_f",
        stays_right="the forward pass, every δ, the gradients of all weights, and of the forget gate's bias",
        fix="Give every gate's bias the sum of its own δ.",
        example="db_i += dz_f    # wrong\ndb_i += dz_i    # right",
        seen="learn_dl#63",
        variants=variants(
            *(
                variant(BiasOfOneGate, "" if gate == "f" else f"of gate {gate}", usual=gate == "f", gate=gate)
                for gate in "figo"
            ),
        ),
    ),
    Bug(
        code="BP808",
        name="gru-reset-placement",
        sentence="The reset gate is applied before the product with W_hn where it should be after it, or the reverse.",
        right="reset_after: z_n = W_in x + b_in + r·(W_hn h + b_hn); else z_n = W_in x + b_in + W_hn (r·h) + b_hn",
        wrong="one in place of the other",
        stays_right="the gates r and z in the first step; everything where the state before is 0 and there is no b_hn",
        fix="PyTorch and cuDNN reset after the product, bias included; the paper, and Keras with reset_after=False, before.",
        example="n = np.tanh(W_in @ x + b_in + W_hn @ (r * h) + b_hn)    # reset before\n"
        "n = np.tanh(W_in @ x + b_in + r * (W_hn @ h + b_hn))    # reset after: PyTorch",
        variants=variants(
            variant(OtherReset, ""),
            variant(OtherReset, "after the product, but not of its bias", bias_outside=True),
        ),
    ),
    Bug(
        code="BP810",
        name="lstm-forget-gate-left-out",
        sentence="The cell's gradient is passed to the step before without being multiplied by the forget gate.",
        right="∂L/∂cₜ₋₁ = ∂L/∂cₜ · fₜ",
        wrong="∂L/∂cₜ₋₁ = ∂L/∂cₜ",
        stays_right="the forward pass, the δ of the last step, and sequences of one step without a c₀",
        fix="Multiply by the forget gate of the forward pass: dc_next = dc · f.",
        example="dc_next = dc            # wrong\ndc_next = dc * f[t]     # right",
        confused_with=("BP804",),
        variants=variants(ForgetGateLeftOut),
    ),
)
