"""BP0xx: mistakes in numbers, arrays and messages."""

from __future__ import annotations

from planting import Case, Edit, Planted, at, both, has, loses, many, mean, port, several_outputs, widths
from planting import network as net

DUMP = "        return json.dumps(reply, allow_nan=False)\n"
AS_TEXT = """        return "NaN"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
"""
WEIGHTS = '"weights": [list(neuron.weight_gradients) for neuron in layer.neurons],'
BIASES = '"biases": [neuron.bias_gradient for neuron in layer.neurons],'
IMPORTS = "from typing import Any\n\nfrom activations import ACTIVATIONS\n"  # of backprop.py
NUMBERS = "    return [float(number) for number in numbers]\n"
NEURONS = (
    "    return Layer([Neuron(read_numbers(row), float(bias)) for row, bias in zip(weights, biases)], activation)\n"
)
START = "        return [delta_k / divisor for delta_k in deltas]\n"
PARAMETERS = '    weights, biases = layer["parameters"]["weights"], layer["parameters"]["biases"]\n'
DIVIDED = "        return [gradient / len(a) for gradient in gradients] if self.mean_over_outputs else gradients\n"
CROSS = "        return [a_k * total - t_k for a_k, t_k in zip(a, t)]\n"
EVERYWHERE = ("z", "a", "loss", "delta", "weight_gradient", "bias_gradient")

_DIGITS = '''def with_digits(value: Any) -> Any:
    """Give the same value with every number printed and read back."""
    if isinstance(value, dict):
        return {{key: with_digits(item) for key, item in value.items()}}
    if isinstance(value, list):
        return [with_digits(item) for item in value]
    return {value} if isinstance(value, float) and math.isfinite(value) else value


def without_nan('''

_SINGLE = '''class Single(float):
    """A number of 32 bits: every result is rounded."""

    def __new__(cls, value: float) -> "Single":
        return super().__new__(cls, struct.unpack("f", struct.pack("f", value))[0])


def operation(name: str) -> Any:
    """Give a float's operation, rounded."""
    exact = getattr(float, name)
    return lambda *numbers: Single(exact(*numbers))


for _name in ("add", "sub", "mul", "truediv"):
    setattr(Single, f"__{_name}__", operation(f"__{_name}__"))
    setattr(Single, f"__r{_name}__", operation(f"__r{_name}__"))
setattr(Single, "__neg__", operation("__neg__"))


def read_numbers('''

_COLUMN_MAJOR = (
    PARAMETERS
    + """    flat = [weight for row in weights for weight in row]
    weights = [[flat[i * len(weights) + j] for i in range(len(weights[0]))] for j in range(len(weights))]
"""
)
_BACK_TO_ROWS = """def laid_out(rows: list[Numbers]) -> list[Numbers]:
    \"\"\"Give the rows as they come out of a buffer that holds column after column.\"\"\"
    flat = [row[i] for i in range(len(rows[0])) for row in rows]
    return [flat[j * len(rows[0]) : (j + 1) * len(rows[0])] for j in range(len(rows))]


def gradients("""


def _digits(value: str) -> tuple[Edit, ...]:
    return (
        port(DUMP, "        return json.dumps(with_digits(reply), allow_nan=False)\n"),
        port("def without_nan(", _DIGITS.format(value=value)),
    )


def _not_a_number(case: Case) -> bool:
    return case["loss"]["kind"] == "cross_entropy" and any(0.0 in row for row in case["targets"])


def _wide(case: Case) -> bool:
    return any(a > 1 and b > 1 for a, b in zip(widths(case), widths(case)[1:], strict=False))


#: The derivative of t ln(t / a) by a literal chain rule: for t = 0 it is 0 · ∞.
_LITERAL = (
    net(
        CROSS,
        "        slopes = [t_k * divide(a_k, t_k) * -divide(t_k, a_k * a_k) if t_k else t_k * math.inf\n"
        "                  for a_k, t_k in zip(a, t)]\n"
        "        return Softmax().deltas([], a, slopes)\n",
    ),
    net("from activations import log_softmax,", "from activations import Softmax, log_softmax,"),
)

PROTOCOL_BUGS = [
    Planted("BP001", "6 significant digits", _digits('float(f"{value:.6g}")'), at("any", *EVERYWHERE)),
    Planted("BP001", "9 significant digits", _digits('float(f"{value:.9g}")'), at("any", *EVERYWHERE)),
    Planted("BP001", "6 decimals", _digits('float(f"{value:.6f}")'), at("any", *EVERYWHERE)),
    Planted("BP001", "9 decimals", _digits("round(value, 9)"), at("any", *EVERYWHERE)),
    Planted(
        "BP002",
        "single precision",
        (
            net(IMPORTS, "import struct\n" + IMPORTS),
            net("def read_numbers(", _SINGLE),
            net(NUMBERS, "    return [Single(float(number)) for number in numbers]\n"),
            net(NEURONS, NEURONS.replace("float(bias)", "Single(float(bias))")),
        ),
        at("any", *EVERYWHERE),
    ),
    Planted(
        "BP002",
        "parameters kept in single precision",
        (
            net(IMPORTS, "import array\n" + IMPORTS),
            net(
                NEURONS,
                NEURONS.replace("read_numbers(row)", 'list(array.array("f", read_numbers(row)))').replace(
                    "float(bias)", 'array.array("f", [bias])[0]'
                ),
            ),
        ),
        at("first", "z"),
    ),
    Planted(
        "BP003",
        "null for the NaN of 0 times infinity",
        (
            *_LITERAL,
            port(
                AS_TEXT,
                "        return None\n    if isinstance(value, float) and math.isinf(value):\n        return None\n",
            ),
        ),
        at("output", "delta"),
        _not_a_number,
        also=("BP004",),
        cases=200,
    ),
    Planted(
        "BP004",
        "0 times infinity",
        _LITERAL,
        at("output", "delta"),
        _not_a_number,
        cases=200,
    ),
    Planted(
        "BP005",
        "tanh overflows, which Python says",
        (
            net(
                "        return math.tanh(z)\n",
                "        power = math.exp(2.0 * z)\n        return (power - 1.0) / (power + 1.0)\n",
            ),
        ),
        at("any", "a"),
        has("tanh"),
        suite="edge",
    ),
    Planted(
        "BP005",
        "tanh overflows to infinity by infinity",
        (
            net(
                "        return math.tanh(z)\n",
                "        power = math.exp(2.0 * z) if z < 350.0 else math.inf\n"
                "        return (power - 1.0) / (power + 1.0)\n",
            ),
        ),
        at("any", "a"),
        has("tanh"),
        also=("BP004",),
        suite="edge",
    ),
    Planted(
        "BP006",
        "weight gradients in one row",
        (net(WEIGHTS, '"weights": [g for neuron in layer.neurons for g in neuron.weight_gradients],'),),
        at("output", "weight_gradient"),
    ),
    Planted(
        "BP006",
        "bias gradients in a column",
        (net(BIASES, '"biases": [[neuron.bias_gradient] for neuron in layer.neurons],'),),
        at("output", "bias_gradient"),
    ),
    Planted(
        "BP006",
        "z by neuron, then by sample",
        (
            net(
                '    return {"loss": loss',
                '    for record in records:\n        record["z"] = [list(row) for row in zip(*record["z"])]\n'
                '    return {"loss": loss',
            ),
        ),
        at("any", "z"),
        lambda case: many(case) or max(widths(case)[1:]) > 1,
    ),
    Planted(
        "BP007",
        "no gradients for the output layer",
        (net('    return {"loss": loss', '    del records[-1]["gradients"]\n    return {"loss": loss'),),
        at("output", "weight_gradient"),
    ),
    Planted(
        "BP007",
        "weight gradients under another name",
        (net(WEIGHTS, WEIGHTS.replace('"weights"', '"kernel"')),),
        at("any", "weight_gradient", "kernel_gradient of layer 0"),
    ),
    Planted(
        "BP008",
        "weights read column by column",
        (net(PARAMETERS, _COLUMN_MAJOR),),
        at("any", "z"),
        _wide,
    ),
    Planted(
        "BP008",
        "weights read and written column by column",
        (
            net(PARAMETERS, _COLUMN_MAJOR),
            net(WEIGHTS, '"weights": laid_out([list(neuron.weight_gradients) for neuron in layer.neurons]),'),
            net(
                '"weights": [list(neuron.weights) for neuron in layer.neurons],',
                '"weights": laid_out([list(neuron.weights) for neuron in layer.neurons]),',
            ),
            net("def gradients(", _BACK_TO_ROWS),
        ),
        at("any", "z"),
        _wide,
    ),
    Planted(
        "BP009",
        "weights jittered by chance",
        (
            net(IMPORTS, "import random\n" + IMPORTS),
            net(
                NEURONS, NEURONS.replace("read_numbers(row)", "[w + random.gauss(0, 1e-4) for w in read_numbers(row)]")
            ),
        ),
        at("first", "z"),
        repeatable=False,
    ),
    Planted(
        "BP010",
        "a debug print",
        (net('    return {"loss": loss', '    print("loss", loss)\n    return {"loss": loss'),),
        (),
        options=("--strict-stdout",),
    ),
    Planted(
        "BP011",
        "gradients as text",
        (
            net(WEIGHTS, '"weights": [[str(g) for g in neuron.weight_gradients] for neuron in layer.neurons],'),
            net(BIASES, '"biases": [str(neuron.bias_gradient) for neuron in layer.neurons],'),
        ),
        at("output", "weight_gradient"),
    ),
    Planted(
        "BP011",
        "activations as text",
        (net('record["a"].append(layer.a)', 'record["a"].append([f"{a:.17g}" for a in layer.a])'),),
        at("first", "a"),
    ),
    Planted(
        "BP012",
        "deltas divided as integers",
        (net(START, START.replace("delta_k / divisor", "delta_k // divisor")),),
        at("output", "delta"),
    ),
    Planted(
        "BP012",
        "one by the number of samples is 0",
        (net(START, START.replace("delta_k / divisor", "delta_k * (1 // int(divisor))")),),
        at("output", "delta"),
        mean,
    ),
    Planted(
        "BP012",
        "one by the number of outputs is 0",
        (
            net(
                DIVIDED,
                "        return [g * (1 // len(a)) for g in gradients] if self.mean_over_outputs else gradients\n",
            ),
        ),
        at("output", "delta"),
        both(several_outputs, loses("mean_squared_error", "mean_absolute_error", "huber")),
    ),
]

#: No bug: the same case sent twice gives different numbers, and every answer is right within rounding.
REPEATED_BUGS = [
    Planted(
        "BP009",
        "sums in random order",
        (
            net("from activations import Activation\n", "import random\n\nfrom activations import Activation\n"),
            net(
                "        z = self.bias\n        for weight, x in zip(self.weights, inputs):\n",
                "        z = self.bias\n"
                "        for weight, x in random.sample(list(zip(self.weights, inputs)), len(inputs)):\n",
            ),
        ),
        at("any", *EVERYWHERE),
        lambda case: max(widths(case)[:-1]) > 1,
        repeatable=False,
    ),
]
