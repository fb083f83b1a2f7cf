"""Formulas of the ways to make a mistake whose page shows another way: by code, then by (a part of) the label.

A label's parts stand between commas. A key holds for every variant whose label has all its parts; of several keys the
one with the most parts. A formula is what was implemented, or (as it should be, as it was implemented).
"""

from __future__ import annotations

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
