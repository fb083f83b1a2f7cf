"""Recurrent layers in numpy, a batch at a time, with a closed-form backward pass and a switch for every mistake.

It shares nothing with the package. ``backprop(mistake)`` returns an implementation for ``check``: the correct one where
``mistake`` is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]
    States = dict[str, Array]

GATES = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}
FEATURES = ["bidirectional", "stacked", "initial_states", "lengths", "truncation", "peepholes", "reset_before"]


def sigmoid(z: Array) -> Array:
    value: Array = np.exp(np.minimum(z, 0)) / (1 + np.exp(-abs(z)))
    return value


class Direction:
    """One direction of one layer. ``before`` and ``after`` hold the states, ``kept`` the values of each step, by
    step.
    """

    def __init__(self, layer: Recurrent, run: int) -> None:
        self.layer, self.run, self.spec, self.mistake = layer, run, layer.spec, layer.mistake
        both = self.spec.get("bidirectional", False)
        self.backwards = bool(both and run % 2)
        self.suffix = f"_l{run // (1 + both)}{'_reverse' * self.backwards}"
        self.hidden: int = self.spec["hidden_size"]
        self.kind: str = self.spec["kind"]
        self.gates = GATES[self.kind]
        wanted = self.mistake.removeprefix("order-")
        self.order = wanted if "order-" in self.mistake and sorted(wanted) == sorted(self.gates) else self.gates
        self.names = ("h", "c") if self.kind == "lstm" else ("h",)

    def of(self, name: str) -> Array | None:
        return self.layer.parameters.get(f"{name}{self.suffix}")

    def block(self, gate: str) -> slice:
        first = self.order.index(gate) * self.hidden
        return slice(first, first + self.hidden)

    def lines(self, name: str, gate: str) -> Any:
        """A gate's rows of a parameter; 0 where the layer has no parameter of that name."""
        whole = self.of(name)
        return 0 if whole is None else whole[self.block(gate)]

    def steps(self) -> list[int]:
        return list(range(self.count))[:: -1 if self.backwards else 1]

    def cut_before(self, t: int) -> Array:
        """For each sample 0 where the gradient is cut at the edge before step t in the order of reading, else 1."""
        edge, k = t + 1 if self.backwards else t, self.spec.get("truncate")
        k_is = {"truncate-more": 1, "truncate-less": -1}.get(self.mistake, 0) + (k or 0)
        edge_is = edge + {"truncate-early": 1, "truncate-late": -1}.get(self.mistake, 0)
        cut = bool(k) and edge_is > 0 and edge_is % max(k_is, 1) == 0 and self.mistake != "truncate-ignored"
        every = self.mistake in ("cut", "cut-all")
        return (edge < self.lengths)[:, None] * float(cut or every)

    def forward(self, x: Array, lengths: Array) -> Array:
        self.x, self.lengths, self.count = x, lengths, x.shape[1]
        states = {name: self.layer.initial(f"{name}0", self.run, len(x)) for name in self.names}
        self.before: list[States] = [{}] * self.count
        self.after: list[States] = [{}] * self.count
        self.kept: list[dict[str, Array]] = [{}] * self.count
        self.z = np.zeros((len(x), self.count, len(self.gates) * self.hidden), x.dtype)
        for t in self.steps():
            going = (t < lengths)[:, None]
            if self.mistake == "lengths-ignored":
                going = np.ones_like(going)
            self.before[t] = states
            after = self.step(x[:, t], states, t)
            self.z[:, t] = np.where(going, self.z[:, t], 0)
            states = {name: np.where(going, after[name], states[name]) for name in states}
            self.after[t] = states
        self.last = states["h"]
        return np.stack([each["h"] for each in self.after], 1)

    def step(self, x: Array, before: States, t: int) -> States:
        h = before["h"]
        z = {}
        for gate in self.gates:
            z[gate] = x @ self.lines("weight_ih", gate).T + self.lines("bias_ih", gate)
            if gate != "n":
                z[gate] = z[gate] + h @ self.lines("weight_hh", gate).T + self.lines("bias_hh", gate)
        kept = self.kept[t] = {}
        if self.kind == "rnn":
            relu = self.spec.get("nonlinearity") == "relu"
            after = {"h": np.maximum(z["h"], 0) if relu else np.tanh(z["h"])}
        elif self.kind == "gru":
            kept["r"], kept["z"] = sigmoid(z["r"]), sigmoid(z["z"])
            u, b = self.lines("weight_hh", "n"), self.lines("bias_hh", "n")
            if self.resets_after():
                outside = self.mistake == "reset-bias-outside"
                kept["product"] = h @ u.T + (0 if outside else b)
                z["n"] = z["n"] + kept["r"] * kept["product"] + (b if outside else 0)
            else:
                z["n"] = z["n"] + (kept["r"] * h) @ u.T + b
            kept["n"] = np.tanh(z["n"])
            keep = 1 - kept["z"] if self.mistake == "update-swapped" else kept["z"]
            after = {"h": kept["n"] + keep * (h - kept["n"])}
        else:
            p, c = self.of("peephole"), before["c"]
            if p is not None:
                z["i"], z["f"] = z["i"] + p[0] * c, z["f"] + p[1] * c
            if self.mistake == "forget-bias":
                z["f"] = z["f"] + 1
            kept["i"], kept["f"], kept["g"] = sigmoid(z["i"]), sigmoid(z["f"]), np.tanh(z["g"])
            cell = kept["f"] * c + kept["i"] * kept["g"]
            if p is not None:
                z["o"] = z["o"] + p[2] * cell
            kept["o"], kept["tanh"] = sigmoid(z["o"]), np.tanh(cell)
            after = {"h": kept["o"] * kept["tanh"], "c": cell}
        for gate in self.gates:
            self.z[:, t, self.block(gate)] = z[gate]
        return after

    def resets_after(self) -> bool:
        return bool(self.spec.get("reset_after", True)) != (self.mistake == "reset-flipped")

    def backward(self, errors: Array, last: Array) -> Array:
        """From ∂L/∂h of every step, and of the last one, to ∂L/∂x. Sets ``delta``."""
        self.delta, dx = np.zeros_like(self.z), np.zeros_like(self.x)
        flowing = {name: np.zeros_like(last) for name in self.names} | {"h": last}
        order = self.steps()
        for number in reversed(range(self.count)):
            t = order[number]
            going = (t < self.lengths)[:, None]
            if self.mistake == "lengths-ignored":
                going = np.ones_like(going)
            flowing = flowing | {"h": flowing["h"] + errors[:, t]}
            new = {name: np.where(going, each, 0) for name, each in flowing.items()}
            back, dx[:, t] = self.step_back(new, t, first=number == 0, last=number == self.count - 1)
            flowing = {name: np.where(going, back[name], flowing[name] + back[name]) for name in flowing}
            if number:
                cut = self.cut_before(t)
                flowing = {name: (1 - cut) * each for name, each in flowing.items()}
                drop = {"cut-h": "h", "cell-dropped": "c"}.get(self.mistake)
                if drop in flowing and self.kind == "lstm":
                    edge = (t + 1 if self.backwards else t) < self.lengths
                    flowing[drop] = np.where(edge[:, None], 0, flowing[drop])
        for name in self.names:
            if f"{name}0" in self.layer.parameters:
                lost = self.mistake == "cut-all"
                self.layer.gradients[f"{name}0"][self.run] = 0 if lost else flowing[name].sum(0)
        return dx

    def step_back(self, d: States, t: int, *, first: bool, last: bool) -> tuple[States, Array]:
        """∂L/∂ the states before the step and ∂L/∂ its input, from ∂L/∂ the states after it."""
        self.counts = {"last-step": last, "first-step": first}.get(self.mistake, True)
        x, h = self.x[:, t], self.before[t]["h"]
        h_read = self.after[t]["h"] if self.mistake in ("state-after", "state-and-cell-after") else h
        dz, back = {"rnn": self.rnn_back, "gru": self.gru_back, "lstm": self.lstm_back}[self.kind](d, t, h_read)
        dx = np.zeros_like(x)
        for gate in self.gates:
            self.delta[:, t, self.block(gate)] = dz[gate]
            of_bias = dz["f"] if self.mistake == "bias-forget" and self.kind == "lstm" else dz[gate]
            self.add("weight_ih", gate, dz[gate].T @ x)
            self.add("bias_ih", gate, of_bias.sum(0))
            dx += dz[gate] @ self.lines("weight_ih", gate)
            if gate != "n":
                self.add("weight_hh", gate, dz[gate].T @ h_read)
                self.add("bias_hh", gate, of_bias.sum(0))
                if self.mistake != "cut-product":
                    back["h"] = back["h"] + dz[gate] @ self.lines("weight_hh", gate)
        return back, dx

    def rnn_back(self, d: States, t: int, _h_read: Array) -> tuple[States, States]:
        h = self.after[t]["h"]
        slope = (h > 0) if self.spec.get("nonlinearity") == "relu" else 1 - h**2
        return {"h": d["h"] * slope}, {"h": np.zeros_like(h)}

    def gru_back(self, d: States, t: int, h_read: Array) -> tuple[States, States]:
        h, kept = self.before[t]["h"], self.kept[t]
        swapped = self.mistake == "update-swapped"
        keep = 1 - kept["z"] if swapped else kept["z"]
        dkeep = d["h"] * (h - kept["n"])
        dn = d["h"] * (1 - keep) * (1 - kept["n"] ** 2)
        back = d["h"] * keep
        u = self.lines("weight_hh", "n")
        if self.resets_after():
            dr, dproduct = dn * kept["product"], dn * kept["r"]
            self.add("weight_hh", "n", dproduct.T @ h_read)
            self.add("bias_hh", "n", (dn if self.mistake == "reset-bias-outside" else dproduct).sum(0))
            back = back + (0 if self.mistake == "cut-product" else dproduct @ u)
        else:
            dreset = dn @ u * (self.mistake != "cut-product")
            dr = dreset * h
            self.add("weight_hh", "n", dn.T @ (kept["r"] * h))
            self.add("bias_hh", "n", dn.sum(0))
            back = back + dreset * kept["r"]
        dz = {"n": dn, "r": dr * kept["r"] * (1 - kept["r"])}
        dz["z"] = (-dkeep if swapped else dkeep) * kept["z"] * (1 - kept["z"])
        return dz, {"h": back}

    def lstm_back(self, d: States, t: int, _h_read: Array) -> tuple[States, States]:
        before, after, kept, p = self.before[t], self.after[t], self.kept[t], self.of("peephole")
        c, one = before["c"], np.ones_like(d["h"])
        slope = {"tanh-missing": one, "tanh-of-cell": 1 - after["c"] ** 2}.get(self.mistake, 1 - kept["tanh"] ** 2)
        do = d["h"] * kept["tanh"] * kept["o"] * (1 - kept["o"])
        dcell = d["c"] + d["h"] * kept["o"] * slope + (0 if p is None else do * p[2])
        c_read = after["c"] if self.mistake in ("cell-after", "state-and-cell-after") else c
        dz = {
            "i": dcell * kept["g"] * kept["i"] * (1 - kept["i"]),
            "f": dcell * c_read * kept["f"] * (1 - kept["f"]),
            "g": dcell * kept["i"] * (1 - kept["g"] ** 2),
            "o": do,
        }
        through = one if self.mistake == "forget-gate-left-out" else kept["f"]
        back = {"h": np.zeros_like(c), "c": dcell * through}
        if p is not None:
            back["c"] = back["c"] + dz["i"] * p[0] + dz["f"] * p[1]
            for number, (gate, cell) in enumerate((("i", c), ("f", c), ("o", after["c"]))):
                share = (dz[gate] * cell).sum(0)
                self.layer.gradients[f"peephole{self.suffix}"][number] += share * self.counts
        return dz, back

    def add(self, name: str, gate: str, share: Array) -> None:
        if f"{name}{self.suffix}" in self.layer.gradients:
            self.layer.gradients[f"{name}{self.suffix}"][self.block(gate)] += share * self.counts


class Recurrent:
    """All directions of all layers."""

    def __init__(self, spec: dict[str, Any], mistake: str, dtype: Any) -> None:
        self.spec, self.mistake = spec, mistake
        self.parameters = {name: np.array(value, dtype) for name, value in spec["parameters"].items()}
        self.directions = 1 + spec.get("bidirectional", False)
        self.runs = [Direction(self, run) for run in range(spec.get("num_layers", 1) * self.directions)]

    def initial(self, name: str, run: int, samples: int) -> Array:
        given = self.parameters.get(name)
        shape = (samples, self.spec["hidden_size"])
        return np.zeros(shape, self.dtype) if given is None else np.broadcast_to(given[run], shape)

    def forward(self, x: Array) -> Array:
        self.dtype = x.dtype
        steps = x.shape[1]
        lengths = np.array(self.spec.get("lengths") or [steps] * len(x))
        for first in range(0, len(self.runs), self.directions):
            x = np.concatenate([run.forward(x, lengths) for run in self.runs[first : first + self.directions]], 2)
        self.going = (np.arange(steps)[None] < lengths[:, None])[..., None]
        self.z = np.concatenate([run.z for run in self.runs], 2)
        if self.spec.get("return_sequences", True):
            self.a = np.where(self.going, x, 0)
        else:
            self.a = np.concatenate([run.last for run in self.runs[-self.directions :]], 1)
        return self.a

    def backward(self, errors: Array) -> Array:
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        steps, hidden = self.z.shape[1], self.spec["hidden_size"]
        sequences = self.spec.get("return_sequences", True)
        flowing = (
            np.where(self.going, errors, 0)
            if sequences
            else np.zeros((len(errors), steps, errors.shape[1]), self.dtype)
        )
        last = np.zeros_like(errors[:, 0]) if sequences else errors
        for first in reversed(range(0, len(self.runs), self.directions)):
            of_layer = self.runs[first : first + self.directions]
            parts = [slice(n * hidden, (n + 1) * hidden) for n in range(self.directions)]
            shares = [run.backward(flowing[:, :, at], last[:, at]) for run, at in zip(of_layer, parts, strict=True)]
            flowing = shares[0] if len(shares) == 1 else shares[0] + shares[1]
            last = np.zeros((len(flowing), hidden * self.directions), self.dtype)
        self.delta = np.concatenate([run.delta for run in self.runs], 2)
        return flowing


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda z: z, np.ones_like),
    "tanh": (np.tanh, lambda a: 1 - a**2),
    "sigmoid": (sigmoid, lambda a: a * (1 - a)),
}


class Dense:
    def __init__(self, spec: dict[str, Any], _mistake: str, dtype: Any) -> None:
        self.parameters = {name: np.array(value, dtype) for name, value in spec["parameters"].items()}
        self.value, self.slope = ACTIVATIONS[spec["activation"]]

    def forward(self, x: Array) -> Array:
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        self.z = self.x @ self.parameters["weights"].T + self.parameters["biases"]
        self.a = self.value(self.z)
        return self.a

    def backward(self, errors: Array) -> Array:
        self.delta = errors * self.slope(self.a)
        self.gradients = {"weights": self.delta.T @ self.x, "biases": self.delta.sum(0)}
        dx: Array = (self.delta @ self.parameters["weights"]).reshape(self.shape)
        return dx


def one_pass(layers: list[Any], case: dict[str, Any], dtype: Any) -> tuple[float, Array]:
    """The loss, and ∂L/∂x of the inputs."""
    x = np.array(case["inputs"], dtype)
    for layer in layers:
        x = layer.forward(x)
    e = (x - np.array(case["targets"], dtype)).reshape(len(x), -1)
    kind, samples = case["loss"]["kind"], len(x) if case["reduction"] == "mean" else 1
    scale = {"half_squared_error": 0.5, "squared_error": 1.0, "mean_squared_error": 1 / e.shape[1]}[kind]
    errors = ((e + e) * dtype(scale) / dtype(samples)).reshape(x.shape)
    for layer in reversed(layers):
        errors = layer.backward(errors)
    return ((e * e).sum() * dtype(scale) / dtype(samples)).item(), errors


def backprop(mistake: str = "", dtype: Any = np.float64, *, full: bool = True) -> Callable[..., dict[str, Any]]:
    """An implementation; without ``full`` it reports loss and gradients only."""

    def implementation(case: dict[str, Any]) -> dict[str, Any]:
        specs = case["network"]["layers"]
        layers: list[Any] = [(Dense if spec["kind"] == "dense" else Recurrent)(spec, mistake, dtype) for spec in specs]
        loss, errors = one_pass(layers, case, dtype)
        reply: dict[str, Any] = {"id": case["id"], "loss": loss, "layers": []}
        for layer in layers:
            one: dict[str, Any] = {"gradients": {name: each.tolist() for name, each in layer.gradients.items()}}
            if full:
                one |= {"z": layer.z.tolist(), "a": layer.a.tolist(), "delta": layer.delta.tolist()}
            reply["layers"].append(one)
        if full:
            reply["input_gradients"] = errors.tolist()
        trajectory: list[dict[str, Any]] = []
        for step in range(case.get("steps", 1) if case.get("optimizer") else 0):
            loss = one_pass(layers, case, dtype)[0] if step else loss
            rates = case["optimizer"]["learning_rate"]
            updated = [train(layer, dtype(rates[step] if isinstance(rates, list) else rates)) for layer in layers]
            trajectory.append({"loss": loss, "layers": [{"updated": each} for each in updated]})
        if trajectory:
            for one, each in zip(reply["layers"], updated, strict=True):
                one["updated"] = each
            reply |= {"trajectory": trajectory} if len(trajectory) > 1 else {}
        return reply

    implementation.dtype = np.dtype(dtype).name  # type: ignore[attr-defined]
    implementation.supports = SUPPORTS  # type: ignore[attr-defined]
    return implementation


def train(layer: Any, rate: Any) -> dict[str, Any]:
    """The parameters after a step down the gradient."""
    for name in layer.parameters:
        layer.parameters[name] = layer.parameters[name] - rate * layer.gradients[name]
    return {name: each.tolist() for name, each in layer.parameters.items()}


SUPPORTS = {
    "layers": ["dense", *GATES],
    "activations": list(ACTIVATIONS),
    "losses": ["half_squared_error", "squared_error", "mean_squared_error"],
    "optimizers": ["sgd"],
    "features": FEATURES,
}

#: Every switch with the code of its bug.
MISTAKES = {
    "cut": "BP801",
    "cut-all": "BP801",
    "cut-product": "BP801",
    "cut-h": "BP801",
    "last-step": "BP802",
    "first-step": "BP802",
    "state-after": "BP803",
    "state-and-cell-after": "BP803",
    "cell-after": "BP811",
    "cell-dropped": "BP804",
    "forget-gate-left-out": "BP810",
    "tanh-missing": "BP805",
    "tanh-of-cell": "BP805",
    "order-ifog": "BP806",
    "order-igfo": "BP806",
    "order-fiog": "BP806",
    "order-zrn": "BP806",
    "bias-forget": "BP807",
    "reset-flipped": "BP808",
    "reset-bias-outside": "BP808",
    "truncate-more": "BP809",
    "truncate-less": "BP809",
    "truncate-early": "BP809",
    "truncate-late": "BP809",
    "truncate-ignored": "BP809",
}

#: Mistakes that the catalogue does not have: z and 1 − z exchanged, 1 added to the forget gate, padding not skipped.
UNNAMED = ("update-swapped", "forget-bias", "lengths-ignored")
