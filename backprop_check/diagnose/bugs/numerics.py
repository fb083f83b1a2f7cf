"""BP0xx: numbers and the protocol. Few of these are rules; ``signs`` recognises the others by how values look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, SwappedRules, variant, variants
from backprop_check.diagnose.rules import (
    column_after_column,
    column_major,
    instead,
    is_activation,
    is_learnt,
    is_matrix,
    is_output,
    reordered,
)
from backprop_check.functions.losses import LOSSES
from backprop_check.reference.rules import Given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backprop_check.case.network import Case
    from backprop_check.kinds.kind import Shape
    from backprop_check.kinds.wiring import Wiring
    from backprop_check.reference.rules import Rule, Table


class ReadOtherwise(SwappedRules):
    """The base of mistakes in reading the case's parameters."""

    common = True

    def read(self, values: Any, shape: Shape) -> Any:
        """The row of numbers of an array of this shape, as it is read."""
        del shape
        return values

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        if c.step == 0 and not layer.shares:  # a layer that shares uses the table of its owner
            shapes = layer.parameter_shapes(inputs)
            for name, table in parameters.items():
                table.values = self.read(table.values, shapes[name])
        return super().equations(c, layer, x, parameters, inputs)


class ColumnMajor(ReadOtherwise):
    """All weights are read in column-major order."""

    def read(self, values: Any, shape: Shape) -> Any:
        right = super().read(values, shape)
        return reordered(self.m, right, column_after_column(shape)) if is_matrix(shape) else right


class ReadTransposed(ReadOtherwise):
    """Weights are read with rows and columns swapped, where the layer is square."""

    def read(self, values: Any, shape: Shape) -> Any:
        right = super().read(values, shape)
        square = is_matrix(shape) and shape[0] == shape[1]
        return reordered(self.m, right, column_after_column(shape)) if square else right


class SingleParameters(ReadOtherwise):
    """Weights and biases are rounded to single precision when they are read."""

    def read(self, values: Any, shape: Shape) -> Any:
        return self.m.single(super().read(values, shape))


class ColumnMajorBothWays(SwappedRules):
    """Weights are read and gradients written in column-major order: each unit uses the weights at these positions."""

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        shapes, right = layer.parameter_shapes(inputs), c.weighted_sum

        def wired(weights: Table | None, wiring: Wiring) -> Wiring:
            shape = shapes[weights.role] if is_learnt(weights) else ()
            return column_major(wiring, shape) if is_matrix(shape) else wiring

        def weighted_sum(
            sources: Sequence[tuple[Table, Table | None, Wiring]],
            biases: Iterable[tuple[Table, Iterable[int]]] = (),
            role: str = "",
            other: Callable[[Any, Any], Any] | None = None,
        ) -> Any:
            return right([(read, w, wired(w, wiring)) for read, w, wiring in sources], biases, role, other)

        with instead(c, weighted_sum=weighted_sum):
            return super().equations(c, layer, x, parameters, inputs)


class CutToInteger(SwappedRules):
    """The output's δ is truncated to an integer, downwards or towards 0."""

    downwards: ClassVar[bool] = True
    gives = frozenset({"delta"})

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        made = super().equations(c, layer, x, parameters, inputs)
        self.linear = any(made.a is z for z in made.z)  # after the last layer: whether the output is linear
        return made

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        g, slopes = super().share(rule, role, s, i)
        gives_delta = isinstance(rule, Given) if self.linear else is_activation(rule) and is_output(rule)
        if not gives_delta:
            return g, slopes
        delta = self.m.total(g if slopes is None else self.m.vector(lambda x, slope: x * slope, g, slopes))
        return self.m.one(self.cut(delta)), None

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        return self.cut(super().matched_error(p, rule, s, i, composed))

    def cut(self, x: Any) -> Any:
        """The integer part of x, bit by bit."""
        m, size, whole = self.m, abs(x), 0.0 * x
        for power in reversed(range(14)):
            whole = whole + m.where_positive(2.0**power - (size - whole), 0.0, 2.0**power)
        below = m.where_positive(size - whole, -whole - 1.0, -whole) if self.downwards else -whole
        return m.where_positive(x, whole, m.where_positive(-x, below, 0.0 * x))


class IntegerMean(Swapped):
    """1/N in integer arithmetic, which is 0 for N > 1."""

    __loss_too: ClassVar[bool] = True

    def in_batch(self, p: Any, x: Any) -> Any:
        return self.m.number(0.0) * super().in_batch(p, x)

    def batch_loss(self, p: Any, total: Any) -> Any:
        return self.in_batch(p, total) if self.__loss_too else super().in_batch(p, total)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.reduction == "mean" and len(case.inputs) > 1


class IntegerHalf(Swapped):
    """1/2 in integer arithmetic, which is 0."""

    def batch_loss(self, p: Any, total: Any) -> Any:
        return self.m.number(0.0) * super().batch_loss(p, total)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.kind == "half_squared_error"


class IntegerMeanOverOutputs(Swapped):
    """1/K in integer arithmetic, which is 0 for K > 1."""

    __loss_too: ClassVar[bool] = True

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        return self.m.number(0.0) * super().output_error(p, s, k)

    def batch_loss(self, p: Any, total: Any) -> Any:
        right = super().batch_loss(p, total)
        return self.m.number(0.0) * right if self.__loss_too else right

    @classmethod
    def matters(cls, case: Case) -> bool:
        return LOSSES[case.loss.kind].mean_over_outputs and case.network.widths[-1] > 1


BUGS = (
    Bug(
        "BP001",
        "few-digits-printed",
        "The numbers are right but printed with too few digits.",
        right="the shortest text that reads back as the same number (17 digits at most)",
        wrong="a fixed, small number of digits, as %f or toFixed give",
        stays_right="numbers that are short anyway",
        fix="print with %.17g, or with the language's own shortest form (JSON libraries do)",
        example='printf("%f", x)     # BP001\nprintf("%.17g", x)  # right\n',
        confused_with=("BP002",),
    ),
    Bug(
        "BP002",
        "float32-arithmetic",
        "The port says float64 but computes in single precision.",
        right="64-bit floating-point numbers throughout",
        wrong="32-bit floating-point numbers, which keep 7 digits",
        stays_right="everything to about 7 digits",
        fix='use double (float64), or say "dtype": "float32" in the hello: then single precision is what is expected',
        example="float z;   // BP002\ndouble z;  // right\n",
        confused_with=("BP001",),
        variants=variants(variant(SingleParameters, "the parameters are kept in single precision", usual=False)),
    ),
    Bug(
        "BP003",
        "nan-written-as-null",
        "null is written where a number belongs: JavaScript and others write NaN and infinity as null.",
        right='"NaN", "Infinity" or "-Infinity" as text, and a finite number where one is expected',
        wrong="null",
        stays_right="the finite numbers",
        fix="find out where the NaN comes from (0/0, the logarithm of 0), and write what is not finite as text",
        example="JSON.stringify(NaN)  // BP003: gives null\n",
        confused_with=("BP004",),
    ),
    Bug(
        "BP004",
        "not-a-number",
        "A result is NaN: 0/0, ∞ − ∞, 0 · ∞ or the logarithm of a negative number.",
        right="a finite number",
        wrong="NaN",
        stays_right="all that does not read it",
        fix="look at the first value that is NaN and at the operation that gives it",
        example="log(a)   # BP004 where a < 0\n",
        confused_with=("BP005", "BP208"),
    ),
    Bug(
        "BP005",
        "overflow",
        "A result is infinite: an exponential overflowed, a number was divided by 0, or ∞ was put in.",
        right="a finite number",
        wrong="∞",
        stays_right="layers whose z stay small",
        fix="look at the first value that is infinite and at the operation that gives it; where it is an exponential, "
        "write the function with e^(−|z|), so that no large one appears",
        example="1 / (1 + exp(-z))   # BP005 in C for z = -800\n",
        confused_with=("BP208", "BP004"),
    ),
    Bug(
        "BP006",
        "array-shape",
        "An array has the wrong shape.",
        right="gradients have the shape of their parameters; per-sample arrays are [sample][neuron]",
        wrong="another number of rows, columns or samples",
        stays_right="other arrays",
        fix="weights[j][i] is from input i into neuron j: one row a neuron; samples come first in all that is per sample",
        example='"weights": [[...], [...]]  # one row for each neuron of the layer\n',
        confused_with=("BP007", "BP110"),
    ),
    Bug(
        "BP007",
        "array-missing",
        "An array that the reply must hold is missing.",
        right="gradients of weights and biases for every layer",
        wrong="nothing",
        stays_right="other arrays",
        fix="report the gradients of every layer that has parameters, under their parameters' names",
        example='{"gradients": {"weights": ..., "biases": ...}}\n',
        confused_with=("BP006", "BP114"),
    ),
    Bug(
        "BP008",
        "row-major-read-as-column-major",
        "The weights are read in the wrong order: columns first instead of rows first.",
        right="weights[j][i], row j after row j − 1",
        wrong="the same numbers, filled in column by column",
        stays_right="layers with one neuron or one input",
        fix="copy row by row: the weights of neuron j are one row",
        example="w = reshape(flat, (units, inputs), order='F')  # BP008\nw = reshape(flat, (units, inputs))             # right\n",
        confused_with=("BP205",),
        by_label={
            "gradients are written so too": "the same numbers, filled in (and gradients written) column by column",
        },
        variants=variants(
            ColumnMajor,
            variant(ColumnMajorBothWays, "gradients are written so too", usual=False),
        ),
    ),
    Bug(
        "BP009",
        "not-deterministic",
        "The same case, asked twice, gives different bits.",
        right="the same answer every time",
        wrong="an answer that depends on chance, on time, or on threads",
        stays_right="",
        fix="seed or remove random numbers (weights come with the case, dropout is off), and sum in a fixed order",
        example="w = random()  # BP009: the case brings its own weights\n",
        confused_with=("BP409",),
    ),
    Bug(
        "BP010",
        "stdout-noise",
        "The port prints lines that are no replies, and --strict-stdout forbids it.",
        right="one line of JSON for each request on standard output",
        wrong="debug prints among the replies",
        stays_right="all numbers",
        fix="print logs to standard error",
        example='print("loss", loss)                  # BP010\nprint("loss", loss, file=sys.stderr)  # right\n',
    ),
    Bug(
        "BP011",
        "number-as-text",
        "Numbers are written as text.",
        right="0.5",
        wrong='"0.5"',
        stays_right="other arrays",
        fix="do not turn numbers into strings before they are written as JSON",
        example='{"loss": "0.5"}  # BP011\n{"loss": 0.5}    # right\n',
    ),
    Bug(
        "BP012",
        "integer-division",
        "A quotient of integers was cut to 0.",
        right="1/N, ½, 1/K as real numbers",
        wrong="1/N = 0 in integer arithmetic",
        stays_right="batches of one sample (for 1/N)",
        fix="divide real numbers: 1.0 / N",
        example="1 / n * sum    // BP012: 0 in C, Java, Go, Rust\n1.0 / n * sum  // right\n",
        by_label={
            "½ in the loss": ("½ e²", "½ = 0 in integer arithmetic"),
            "1/N in the gradients and the loss": ("(1/N) Σₛ", "1/N = 0 in integer arithmetic, in loss and gradients"),
            "1/N in the gradients": ("(1/N) Σₛ", "1/N = 0 in integer arithmetic, in the gradients"),
            "1/K in the gradients and the loss": ("(1/K) Σₖ", "1/K = 0 in integer arithmetic, in loss and gradients"),
            "1/K in the gradients": ("(1/K) Σₖ", "1/K = 0 in integer arithmetic, in the gradients"),
            "the output's delta cut down to an integer": ("δₖ = ∂L/∂zₖ, a real number", "δₖ = ⌊∂L/∂zₖ⌋"),
            "the output's delta cut to an integer": (
                "δₖ = ∂L/∂zₖ, a real number",
                "δₖ = ∂L/∂zₖ without its fraction",
            ),
        },
        variants=variants(
            variant(IntegerMean, "1/N in the gradients and the loss"),
            variant(IntegerMean, "1/N in the gradients", loss_too=False),
            variant(IntegerHalf, "½ in the loss"),
            variant(IntegerMeanOverOutputs, "1/K in the gradients and the loss", usual=False),
            variant(IntegerMeanOverOutputs, "1/K in the gradients", loss_too=False, usual=False),
            variant(CutToInteger, "the output's delta cut down to an integer", usual=False),
            variant(CutToInteger, "the output's delta cut to an integer", downwards=False, usual=False),
        ),
    ),
    Bug(
        "BP013",
        "neuron-order-matters",
        "The answer changes when the neurons of a hidden layer are put in another order.",
        right="hidden neurons have no order: permuting them permutes the answer",
        wrong="an answer in which one position is treated unlike the others",
        stays_right="layers of one neuron",
        fix="look for an index that is fixed, or a loop that does not visit every neuron",
        example="for j in range(1, n): ...  # BP013: neuron 0 is never visited\n",
        confused_with=("BP124", "BP202"),
    ),
    Bug(
        "BP014",
        "sample-order-matters",
        "The answer changes when the samples of the batch are put in another order.",
        right="samples have no order: gradients stay, what is per sample is permuted",
        wrong="an answer in which one sample is treated unlike the others",
        stays_right="batches of one sample",
        fix="look for what one sample leaves behind for the next, and for a loop that does not visit every sample",
        example="grad = delta[s] * a[s]  # BP014: the last sample overwrites the others\n",
        confused_with=("BP404", "BP405", "BP408", "BP209"),
    ),
    Bug(
        "BP015",
        "batch-is-not-the-sum",
        "The gradients of a batch are not the sum of its samples' gradients.",
        right="∂L/∂w of a summed batch = Σₛ ∂ℓₛ/∂w",
        wrong="something else",
        stays_right="batches of one sample",
        fix="compute each sample's gradients as if it were alone, and add them up",
        example="grad = delta[s] * a[s]   # BP015\ngrad += delta[s] * a[s]  # right\n",
        confused_with=("BP401", "BP404"),
    ),
)
