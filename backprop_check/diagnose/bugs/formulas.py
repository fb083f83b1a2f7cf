"""Formulas of the ways to make a mistake whose page shows another way: by code, then by (a part of) the label.

A label's parts stand between commas. A key holds for every variant whose label has all its parts; of several keys the
one with the most parts. A formula is what was implemented, or (as it should be, as it was implemented).
"""

from __future__ import annotations

_GRADIENT = "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ"
_ERROR = "∂L/∂a = Σ over all layers that read it"

Formula = str | tuple[str, str]


FORMULAS: dict[str, dict[str, Formula]] = {
    "BP008": {"gradients are written so too": "the same numbers, filled in (and gradients written) column by column"},
    "BP012": {
        "½ in the loss": ("½ e²", "½ = 0 in integer arithmetic"),
        "1/N in the gradients and the loss": ("(1/N) Σₛ", "1/N = 0 in integer arithmetic, in loss and gradients"),
        "1/N in the gradients": ("(1/N) Σₛ", "1/N = 0 in integer arithmetic, in the gradients"),
        "1/K in the gradients and the loss": ("(1/K) Σₖ", "1/K = 0 in integer arithmetic, in loss and gradients"),
        "1/K in the gradients": ("(1/K) Σₖ", "1/K = 0 in integer arithmetic, in the gradients"),
        "the output's delta cut down to an integer": ("δₖ = ∂L/∂zₖ, a real number", "δₖ = ⌊∂L/∂zₖ⌋"),
        "the output's delta cut to an integer": ("δₖ = ∂L/∂zₖ, a real number", "δₖ = ∂L/∂zₖ without its fraction"),
    },
    "BP105": {"but in linear layers": "φ(z), and 1 in linear layers"},
    "BP106": {
        "the function of the layer after": "δˡ = (Σ w δ) · φₗ₊₁′(zˡ)",
        "the function of the layer before": "δˡ = (Σ w δ) · φₗ₋₁′(zˡ)",
        "the formula of the layer after": "δˡ = (Σ w δ) · φₗ₊₁′, written in a, at aˡ",
        "the formula of the layer before": "δˡ = (Σ w δ) · φₗ₋₁′, written in a, at aˡ",
        "the values of the layer after": "δˡ = (Σ w δ) · φₗ′(zˡ⁺¹)",
        "the values of the layer before": "δˡ = (Σ w δ) · φₗ′(zˡ⁻¹)",
    },
    "BP108": {
        "the first of the layers that read an output": (_ERROR, "∂L/∂a = what the first of these layers sends back"),
        "the last of the layers that read an output": (_ERROR, "∂L/∂a = what the last of these layers sends back"),
    },
    "BP109": {"in a flat list of weights": "∂L/∂aⱼ = Σₖ w δₖ, with rows and columns swapped in a flat list"},
    "BP111": {
        "the neuron's own": "∂L/∂wⱼᵢ = Σₛ δⱼ aⱼ, of this layer",
        "by the input's index": "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ of this layer",
    },
    "BP115": {"the mean": "∂L/∂bⱼ = Σₛ (1/K) Σₖ δₖ, the same for all j"},
    "BP116": {
        "the neuron's own activation": "∂L/∂bⱼ = Σₛ δⱼ aⱼ",
        "the first input": "∂L/∂bⱼ = Σₛ δⱼ a₀ of the layer before",
        "the last input": "∂L/∂bⱼ = Σₛ δⱼ aₙ of the layer before, n its last",
        "the sum of the inputs": "∂L/∂bⱼ = Σₛ δⱼ Σᵢ aᵢ",
    },
    "BP117": {
        "one visit for each path": (_GRADIENT, "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ, added once for each path from j to the outputs"),
        "one visit for each path, and deltas pile up": "δⱼ, added up once for each path from j to the outputs",
        "once for each layer that reads an output": "∂L/∂a = n Σ, for an output that n layers read",
    },
    "BP118": {
        "the gradients only": (_GRADIENT, "∂L/∂wⱼᵢ = −Σₛ δⱼ aᵢ"),
        "and the update is added": ("∂L/∂a = a − t, w⁺ = w − η ∂L/∂w", "∂L/∂a = t − a, w⁺ = w + η ∂L/∂w"),
    },
    "BP119": {
        "where z and the error are positive": "δⱼ = error if zⱼ > 0 and error > 0, else 0",
        "where the layer after is active": "δⱼ = error if zⱼ of the layer after is positive, else 0",
        "where the last ReLU layer is active": "δⱼ = error if zⱼ of the last ReLU layer is positive, else 0",
    },
    "BP121": {
        "backwards only": ("φ′ with the layer's α", "φ′ with a constant α₀"),
        "forwards only": ("φ with the layer's α", "φ with a constant α₀, but φ′ with the layer's α"),
    },
    "BP122": {
        "approximate forwards": ("a = z Φ(z)", "a = ½z(1 + tanh(√(2/π)(z + 0.044715 z³)))"),
        "approximate backwards": (
            "φ′ = Φ(z) + z e^(−z²/2)/√(2π)",
            "φ′ of ½z(1 + tanh(√(2/π)(z + 0.044715 z³)))",
        ),
        "approximate in both directions": "a = ½z(1 + tanh(√(2/π)(z + 0.044715 z³))), and the derivative of that",
    },
    "BP124": {
        "the last input in the weighted sum": ("zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ", "zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ, without the last i"),
        "the last downstream neuron in the sum that comes back": (
            "∂L/∂aⱼ = Σₖ wₖⱼ δₖ",
            "∂L/∂aⱼ = Σₖ wₖⱼ δₖ, without the last k",
        ),
        "the last output's delta": ("δₖ for every output k", "δₖ = 0 for the last output k"),
        "the last neuron's delta in every layer": ("δⱼ for every neuron j", "δⱼ = 0 for the last j of each layer"),
        "the last input's weight gradient": (_GRADIENT, "∂L/∂wⱼᵢ = 0 for the last i"),
        "the last neuron's gradients": (_GRADIENT, "∂L/∂wⱼᵢ = 0 and ∂L/∂bⱼ = 0 for the last j"),
        "the last neuron's bias gradient": ("∂L/∂bⱼ = Σₛ δⱼ", "∂L/∂bⱼ = 0 for the last j"),
        "the last neuron's update": ("w⁺ = w − η ∂L/∂w", "w⁺ = w and b⁺ = b for the last neuron"),
        "the last input's update": ("w⁺ = w − η ∂L/∂w", "w⁺ = w for the last input"),
        "the last output in the loss": ("ℓ = Σₖ ℓₖ", "ℓ = Σₖ ℓₖ, without the last k"),
        "the last sample in the gradients": (_GRADIENT, "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ, without the last s"),
    },
    "BP125": {
        "only the first of the layers that use them counts": "∂L/∂w = the part of the first use",
        "only the last of the layers that use them counts": "∂L/∂w = the part of the last use",
        "the mean over the layers that use them": "∂L/∂w = (1/n) Σ over all n uses of w",
    },
    "BP126": {
        "forwards only": ("(x, y, …) in the order of the parts", "(x, y, …) in another order"),
        "forwards and backwards": ("(x, y, …) in the order of the parts", "(x, y, …) in another order, both ways"),
        "every part from the first place on": "∂L/∂x of a part: as many places, from the first one on",
    },
    "BP127": {"no factor": "∂L/∂x = ∂L/∂(x·y)"},
    "BP203": {
        "forwards and backwards": "a = z at the output, and φ′ = 1",
        "forwards only": "a = z at the output, but δ with φ′(z)",
    },
    "BP204": {
        "forwards and backwards": "a = z in hidden layers, and φ′ = 1",
        "forwards only": "a = z in hidden layers, but δ with φ′(z)",
    },
    "BP205": {
        "in a flat list of weights": "zⱼ = Σᵢ w aᵢ + bⱼ, with rows and columns swapped in a flat list",
        "the weights are read so": (
            "zⱼ = Σᵢ w[j][i] aᵢ + bⱼ, ∂L/∂aᵢ = Σⱼ w[j][i] δⱼ",
            "zⱼ = Σᵢ w[i][j] aᵢ + bⱼ, ∂L/∂aᵢ = Σⱼ w[i][j] δⱼ",
        ),
    },
    "BP603": {"by the derivative of a sigmoid": "δ = (p − t) σ(z)(1 − σ(z))"},
    "BP605": {
        "g(1 − p)": ("δⱼ = gⱼ − pⱼ Σₖ gₖ", "δⱼ = gⱼ (1 − pⱼ)"),
        "g − p": ("δⱼ = gⱼ − pⱼ Σₖ gₖ", "δⱼ = gⱼ − pⱼ"),
        "g alone": ("δⱼ = gⱼ − pⱼ Σₖ gₖ", "δⱼ = gⱼ"),
        "in the forward pass": ("ℓⱼ = zⱼ − ln Σₖ e^zₖ", "ℓⱼ = zⱼ − max z"),
    },
}
