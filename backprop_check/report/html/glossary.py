"""The terms of the page, each explained in a sentence or two, shown when a reader points at one."""

from __future__ import annotations

GLOSSARY: dict[str, tuple[str, str]] = {
    "z": ("z, the weighted sum", ("What a neuron adds up: each input times its weight, plus the bias. z = Σ w·a + b. "
          "Also called the pre-activation.")),
    "a": ("a, the activation", "What a neuron passes on: its function φ applied to its weighted sum. a = φ(z)."),
    "delta": ("δ, delta", ("How much the loss changes when this neuron's weighted sum changes a little: δ = ∂L/∂z. "
              "Every gradient of the neuron is made of it.")),
    "phi": ("φ′, the slope", ("How steep the activation function is at this z: how much a changes when z changes a "
            "little.")),
    "weight": ("w, weight", "How strongly a neuron listens to one of its inputs."),
    "bias": ("b, bias", "What a neuron adds whatever its inputs are."),
    "gradient": ("∂L/∂w, gradient", ("How much the loss changes when this weight (or bias) changes a little. Learning "
                 "steps the other way.")),
    "updated": ("w⁺, updated", ("The weight after the optimizer's steps: w⁺ = w − η · ∂L/∂w for one step of plain "
                "gradient descent.")),
    "rate": ("η, learning rate", "How large a step learning takes."),
    "loss": ("L, loss", "One number that says how far the outputs are from the targets; learning makes it smaller."),
    "sample": ("sample", ("One input with its target. A batch holds several; z, a and δ are per sample, gradients sum "
               "over all of them.")),
    "allowed": ("allowed", ("How far a right implementation can be off through rounding alone. It is derived for each "
                "single value from the network, never guessed.")),
    "error": ("error", ("The distance between expected and got. The value is right where the error is at most what is "
              "allowed.")),
    "expected": ("expected", "What a neuron-by-neuron reference computes, after PyTorch has agreed with it."),
    "got": ("got", "What the implementation under test replied."),
    "root": ("root", "Wrong although everything it was computed from is right: here the mistake happens."),
    "inherited": ("inherited", ("Wrong only because something it was computed from is wrong: it will be right once the "
                  "root is.")),
    "unknown": ("wrong", ("Wrong; whether the mistake happens here or was inherited could not be told, since the "
                "values it was computed from were not reported.")),
    "unstable": ("unstable", "A formula that is right on paper but loses its digits in a computer, gives this."),
    "case": ("case", "One small network with its weights, a batch, a loss, and perhaps an optimizer."),
    "suite": ("suite", "A set of cases: published ones from books and courses, edge cases, generated ones."),
    "profile": ("profile", ("Which formulas the allowed error makes room for: textbook admits the usual ones that lose "
                "a few digits, strict does not.")),
}  # fmt: skip
