"""BP8xx: the gradients of recurrent layers through time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, variant, variants, written
from backprop_check.kinds.unroll import Way, unroll
from backprop_check.kinds.wiring import Index
from backprop_check.reference.rules import WeightedSum

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.kinds.unroll import Direction, States
    from backprop_check.reference.rules import Rule, Table


_RECURRENT = ("rnn", "gru", "lstm")


class OfRecurrent(SwappedRules, Way):
    """The base of mistakes in recurrent layers: another ``Way`` to unroll one, or another share backwards.

    ``at`` has the direction and the step of the sums that read parameters and of a step's other tables;
    ``state_before`` and ``state_after`` have the states before and after that step.
    """

    kinds: ClassVar[tuple[str, ...]] = _RECURRENT
    common = True

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self.at: dict[Table, tuple[Direction, int]] = {}
        self.state_before: dict[Table, States] = {}
        self.state_after: dict[Table, States] = {}

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        if layer.kind not in self.kinds_of(OfRecurrent):
            return super().equations(c, layer, x, parameters, inputs)
        return unroll(c, layer, x, parameters, inputs, self)

    def done(self, d: Direction, t: int, before: States, made: States, after: States) -> None:
        for table in (*d.sums[t].values(), *made.values(), *after.values()):
            self.at[table], self.state_before[table], self.state_after[table] = (d, t), before, after

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        found = self.at.get(rule.out)
        swapped = self.swapped(rule, role, s, i, *found) if found and isinstance(rule, WeightedSum) else None
        return super().share(rule, role, s, i) if swapped is None else swapped

    def swapped(self, rule: WeightedSum, role: tuple[str, int], s: Any, i: Any, d: Direction, t: int) -> Any:  # noqa: ARG002
        """The wrong share of a sum in step t, or None where it is right."""
        return None


def nothing(rule: Rule, units: int, s: Any, i: Any) -> tuple[Any, Any]:
    """An empty share."""
    return rule.out.error[s, Index([()] * units)[i]], None


def is_recurrent(rule: WeightedSum, role: tuple[str, int], d: Direction) -> bool:
    """Whether this is the sum over the state before, through W_hh."""
    what, number = role
    return what != "bias" and rule.sources[number].weights is d.of("weight_hh")


class Cut(OfRecurrent):
    """δ of step t gets nothing from step t + 1: the state that is handed on is a constant for the backward pass."""

    states: ClassVar[tuple[str, ...]] = ("h", "c")
    first_too = False

    def handed_on(self, d: Direction, first: int, states: States) -> States:
        states = super().handed_on(d, first, states)
        return states | d.cut(first, {name: state for name, state in states.items() if name in self.states})

    def begin(self, d: Direction) -> States:
        states = super().begin(d)
        if not self.first_too:
            return states
        return {name: d.c.cut(state) if name in self.states else state for name, state in states.items()}

    @classmethod
    def matters(cls, case: Case) -> bool:
        return super().matters(case) and (
            any(shape[0] > 1 for layer, shape in recurrent_layers(case) if layer.kind in cls.kinds)
            or (cls.first_too and any("h0" in layer.parameters for layer, _ in recurrent_layers(case)))
        )


class CutProduct(OfRecurrent):
    """No gradient flows back through W_hh."""

    def swapped(self, rule: WeightedSum, role: tuple[str, int], s: Any, i: Any, d: Direction, t: int) -> Any:
        if role[0] == "x" and is_recurrent(rule, role, d):
            return nothing(rule, rule.sources[role[1]].x.units, s, i)
        return super().swapped(rule, role, s, i, d, t)


class CutCell(OfRecurrent):
    """No gradient flows back through f·c; peepholes and the path through h are right."""

    kinds: ClassVar[tuple[str, ...]] = ("lstm",)

    def swapped(self, rule: WeightedSum, role: tuple[str, int], s: Any, i: Any, d: Direction, t: int) -> Any:
        if rule.out.role == "cell" and role == ("x", 0):
            return nothing(rule, rule.sources[0].x.units, s, i)
        return super().swapped(rule, role, s, i, d, t)


def recurrent_layers(case: Case) -> list[tuple[Any, tuple[int, ...]]]:
    """The recurrent layers with the shapes of their inputs."""
    pairs = zip(case.network.layers, case.network.input_shapes, strict=True)
    return [(layer, shape) for layer, shape in pairs if layer.kind in _RECURRENT]


class OneStepOnly(OfRecurrent):
    """A parameter's gradient is that of one step in place of the sum over all."""

    __of: ClassVar[tuple[str, ...]] = ("weights", "bias")
    last = True

    def swapped(self, rule: WeightedSum, role: tuple[str, int], s: Any, i: Any, d: Direction, t: int) -> Any:
        what, number = role
        kept = d.steps - 1 if self.last != d.backwards else 0
        if what in self.__of and t != kept:
            table = rule.biases[number][0] if what == "bias" else rule.sources[number].weights
            if table is not None and table.parameter:
                return nothing(rule, table.units, s, i)
        return super().swapped(rule, role, s, i, d, t)


class WrongState(OfRecurrent):
    """The gradient of W_hh uses the state of another step than the one before."""

    which: ClassVar[tuple[str, ...]] = ("h",)
    earlier = False

    def swapped(self, rule: WeightedSum, role: tuple[str, int], s: Any, i: Any, d: Direction, t: int) -> Any:
        what, number = role
        source = None if what == "bias" else rule.sources[number]
        before, after = self.state_before[rule.out], self.state_after[rule.out]
        state = None
        if source is not None and what == "weights":
            if "h" in self.which and is_recurrent(rule, role, d) and source.x is before["h"]:
                state = self.state_before.get(before["h"], before)["h"] if self.earlier else after["h"]
            elif "c" in self.which and rule.out.role == "cell" and number == 0:
                state = after["c"]
        if state is None or source is None:
            return super().swapped(rule, role, s, i, d, t)
        units, inputs = source.wiring.by_weight
        return rule.out.error[s, units[i]], state.values[s, inputs[i]]


class WrongCell(WrongState):
    """The forget gate's δ uses the cell after the step."""

    kinds: ClassVar[tuple[str, ...]] = ("lstm",)
    which: ClassVar[tuple[str, ...]] = ("c",)


class OtherTruncation(OfRecurrent):
    """Gradients are cut at wrong steps."""

    every = 0
    shift = 0
    never = False

    def cuts(self, layer: Any, first: int) -> bool:
        if self.never:
            return False
        return (first + self.shift) % max(1, layer.truncate + self.every) == 0 and first + self.shift > 0

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(layer.truncate for layer, _ in recurrent_layers(case))


_CUT = """dh_next = 0
for t in reversed(range(steps)):
    dh = dout[t]               # wrong: what step t + 1 sends back is missing
    dh = dout[t] + dh_next     # right
    dz = dh * (1 - h[t] ** 2)
    dW_hh += dz @ h[t - 1].T
    dh_next = W_hh.T @ dz"""


BUGS = (
    Bug(
        code="BP801",
        name="recurrent-gradient-cut",
        sentence="Step t gets its gradient from its own output only: that from step t + 1 is left out.",
        right="∂L/∂hₜ = ∂L/∂hₜ (output) + W_hhᵀ δₜ₊₁ (and what else step t + 1 made of hₜ)",
        wrong="∂L/∂hₜ = ∂L/∂hₜ (output)",
        stays_right="the whole forward pass, the δ of the last step, and everything in sequences of one step",
        fix="Go through the steps from the last to the first, and add to each state's gradient what the step after it"
        " sends back.",
        example=_CUT,
        confused_with=("BP804", "BP809"),
        variants=variants(
            variant(Cut, ""),
            variant(CutProduct, "nothing goes back through W_hh, to h₀ neither"),
            variant(Cut, "through h; the cell's gradient is there", kinds=("lstm",), states=("h",)),
            variant(Cut, "to h₀ neither", usual=False, first_too=True),
            variant(Cut, "through h, to h₀ neither", usual=False, kinds=("lstm",), states=("h",), first_too=True),
        ),
    ),
    Bug(
        code="BP802",
        name="recurrent-last-step-only",
        sentence="The gradient of a parameter that all steps share is that of one step: it is overwritten, not summed.",
        right="∂L/∂W = Σₜ δₜ xₜᵀ",
        wrong="∂L/∂W = δₜ xₜᵀ of one step",
        stays_right="the forward pass and every δ; all gradients in sequences of one step",
        fix="Begin with zeros before the loop over the steps, and add each step's share: dW += …",
        example="for t in reversed(range(steps)):\n"
        "    dW_ih = dz[t] @ x[t].T      # wrong: only the step that came last in the loop remains\n"
        "    dW_ih += dz[t] @ x[t].T     # right",
        confused_with=("BP801", "BP803"),
        variants=variants(
            variant(OneStepOnly, "the first step's (the last one in the loop backward)", last=False),
            variant(OneStepOnly, "the last step's"),
            variant(OneStepOnly, "the first step's, in the weights", last=False, of=("weights",)),
            variant(OneStepOnly, "the last step's, in the weights", of=("weights",)),
            variant(OneStepOnly, "the first step's, in the biases", usual=False, last=False, of=("bias",)),
            variant(OneStepOnly, "the last step's, in the biases", usual=False, of=("bias",)),
        ),
    ),
    Bug(
        code="BP803",
        name="recurrent-previous-state-off-by-one",
        sentence="The gradient of the recurrent weights uses the state after the step, but the step reads the one before.",
        right="∂L/∂W_hh = Σₜ δₜ hₜ₋₁ᵀ",
        wrong="∂L/∂W_hh = Σₜ δₜ hₜᵀ",
        stays_right="the forward pass, every δ, the gradients of W_ih and of the biases",
        fix="Keep every state with its step, h₀ too, and multiply δₜ by the state that step t read: hₜ₋₁.",
        example="dW_hh += dz[t] @ h[t].T        # wrong: that is what step t made\n"
        "dW_hh += dz[t] @ h[t - 1].T    # right; before the first step it is h0",
        confused_with=("BP802", "BP811"),
        variants=variants(
            variant(WrongState, "hₜ"),
            written(variant(WrongState, "hₜ₋₂", earlier=True), wrong="∂L/∂W_hh = Σₜ δₜ hₜ₋₂ᵀ"),
            *(
                written(
                    variant(WrongState, f"hₜ, and cₜ in δ of the forget gate{where}", which=("h", "c"), kinds=kinds),
                    wrong="∂L/∂W_hh = Σₜ δₜ hₜᵀ, and δ_f = ∂L/∂cₜ · cₜ · σ′",
                    right="∂L/∂W_hh = Σₜ δₜ hₜ₋₁ᵀ, and δ_f = ∂L/∂cₜ · cₜ₋₁ · σ′",
                )
                for where, kinds in (("", _RECURRENT), (", in an LSTM only", ("lstm",)))
            ),
        ),
    ),
    Bug(
        code="BP804",
        name="lstm-cell-gradient-dropped",
        sentence="The gradient from cell to cell is left out: the cell gets it only through its own output.",
        right="∂L/∂cₜ = ∂L/∂hₜ · o · (1 − tanh²(cₜ)) + ∂L/∂cₜ₊₁ · fₜ₊₁",
        wrong="∂L/∂cₜ = ∂L/∂hₜ · o · (1 − tanh²(cₜ))",
        stays_right="the forward pass, the δ of the last step, and sequences of one step",
        fix="Pass ∂L/∂c from step to step as well as ∂L/∂h: dc = dh · o · (1 − tanh²(c)) + dc_next, and"
        " dc_next = dc · f.",
        example="dc = dh * o[t] * (1 - np.tanh(c[t]) ** 2)              # wrong\n"
        "dc = dh * o[t] * (1 - np.tanh(c[t]) ** 2) + dc_next    # right\n"
        "dc_next = dc * f[t]",
        confused_with=("BP801", "BP805"),
        seen="deeplearning4j#8838",
        variants=variants(
            variant(Cut, "", kinds=("lstm",), states=("c",)),
            variant(CutCell, "through f·c, to c₀ neither"),
            variant(Cut, "to c₀ neither", usual=False, kinds=("lstm",), states=("c",), first_too=True),
        ),
    ),
    Bug(
        code="BP809",
        name="truncation-off-by-one",
        sentence="Gradients are cut at other steps than truncated backpropagation asks for.",
        right="nothing flows back between the steps m·k − 1 and m·k, for m = 1, 2, …",
        wrong="nothing flows back between the steps m·(k + 1) − 1 and m·(k + 1)",
        stays_right="the forward pass; everything where no truncation is asked for",
        fix="With truncate = k every chunk has k steps: the state is detached before step k, 2k, …, counted from 0.",
        example="if t % (k + 1) == 0: h = h.detach()    # wrong: chunks of k + 1 steps\n"
        "if t % k == 0: h = h.detach()          # right",
        confused_with=("BP801",),
        seen="MyGrad#4",
        variants=variants(
            variant(OtherTruncation, "chunks of one step more", every=1),
            written(
                variant(OtherTruncation, "chunks of one step less", every=-1),
                wrong="nothing flows back between the steps m·(k − 1) − 1 and m·(k − 1)",
            ),
            written(
                variant(OtherTruncation, "cut one step too early", shift=1),
                wrong="nothing flows back between the steps m·k − 2 and m·k − 1",
            ),
            written(
                variant(OtherTruncation, "cut one step too late", shift=-1),
                wrong="nothing flows back between the steps m·k and m·k + 1",
            ),
            written(
                variant(OtherTruncation, "never cut", never=True),
                wrong="everything flows back, from the last step to the first",
            ),
        ),
    ),
    Bug(
        code="BP811",
        name="lstm-cell-off-by-one",
        sentence="The forget gate's δ uses the cell after the step, but the gate multiplies the one before.",
        right="δ_f = ∂L/∂cₜ · cₜ₋₁ · σ′",
        wrong="δ_f = ∂L/∂cₜ · cₜ · σ′",
        stays_right="the forward pass, the δ of the last step's other gates",
        fix="Keep every cell with its step, c₀ too: df = dc · c[t − 1].",
        example="df = dc * c[t]          # wrong: that is what step t made\ndf = dc * c[t - 1]      # right; before the first step it is c0",
        confused_with=("BP803",),
        variants=variants(WrongCell),
    ),
)
