"""The words of an explanation: for each stage a sentence, and its formula as the field writes it."""

from __future__ import annotations

#: The general formula and the sentence of every stage. {} is filled where a stage has more than one form.
WORDS = {
    "weighted sum": ("zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ", "Every input times its weight, added up, plus the bias."),
    "activation": ("aⱼ = φ(zⱼ)", "The activation function ({}) makes of z what the neuron sends on."),
    "layer activation": (
        "aⱼ = φⱼ(z₀, z₁, …)",
        "The activation function ({}) looks at the z of the whole layer at once.",
    ),
    "loss term": ("ℓₖ = ℓ(aₖ, tₖ)", "How far this output is from its target, as the loss ({}) counts it."),
    "sample loss": ("ℓ = Σₖ ℓₖ", "The loss of a sample is made of what its outputs add to it."),
    "loss": ("L = Σₛ ℓ⟨s⟩", "The loss of the batch is the sum of its samples' losses."),
    "mean loss": ("L = 1/S · Σₛ ℓ⟨s⟩", "The loss of the batch is the mean of its S samples' losses."),
    "loss of one": ("L = ℓ", "There is one sample: its loss, made of what its outputs add to it, is the whole loss."),
    "output error": ("∂L/∂aₖ", "How much the loss changes when this output changes: the slope of the loss."),
    "hidden error": (
        "∂L/∂aⱼ = Σₖ wₖⱼ δₖ",
        "This neuron acts on the loss through every neuron that it feeds: gradients that meet are added.",
    ),
    "slope": ("∂aⱼ/∂zⱼ = φ′(zⱼ)", "How much a changes when z changes: the slope of {} at this z."),
    "delta": ("δⱼ = ∂L/∂zⱼ = ∂L/∂aⱼ · ∂aⱼ/∂zⱼ", "How much the loss changes when z changes: the chain rule."),
    "layer delta": (
        "δⱼ = ∂L/∂zⱼ = Σₖ ∂L/∂aₖ · ∂aₖ/∂zⱼ",
        "Every z of this layer moves every a of it, so the chain rule goes through all of them.",
    ),
    "weight gradient": (
        "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ",
        "A weight moves z by what comes in through it: its gradient is delta times that input.",
    ),
    "bias gradient": ("∂L/∂bⱼ = Σₛ δⱼ", "A bias moves z by itself: its gradient is delta."),
    "update": ("w⁺ = w − η · ∂L/∂w", "A step against the gradient, taken once every gradient is known."),
    "weighted sum of any": ("z = Σ w·x + b", "Everything that it reads times its weight, added up, plus the bias."),
    "sum": ("y = Σ x", "Everything that it reads, added up."),
    "function": ("y = f(x)", "A function of one number ({})."),
    "softmax": ("pⱼ = e^(zⱼ) / Σₖ e^(zₖ)", "The {} looks at all numbers of its group at once."),
    "largest": ("y = max x", "The largest of what it reads."),
    "error of any": (
        "∂L/∂x = Σ ∂L/∂y · ∂y/∂x, over every y that reads x",
        "It acts on the loss through everything that reads it: gradients that meet are added.",
    ),
    "weight gradient of any": (
        "∂L/∂w = Σ δ · x, over every sum that w is part of, and every sample",
        "A weight moves each sum that it is part of by what it multiplies there.",
    ),
    "bias gradient of any": (
        "∂L/∂b = Σ δ, over every sum that b is part of, and every sample",
        "A bias moves each sum that it is part of by itself.",
    ),
    "gradient": (
        "∂L/∂w = Σ ∂L/∂y · x, over every sum y that w is part of, and every sample",
        "It moves each sum that it is part of by what it multiplies there ({}).",
    ),
    "input gradient of any": ("∂L/∂x = Σ ∂L/∂y · ∂y/∂x", "How much the loss changes when this input changes."),
    "input gradient": ("∂L/∂xᵢ = Σⱼ wⱼᵢ δⱼ", "How much the loss changes when this input changes."),
}

#: What an optimizer remembers about each parameter from step to step: its letter, its formula, and what it is.
REMEMBERED = {
    "velocity": ("u", "u⁺ = μ u + (1 − τ) g", "The velocity, to which every gradient adds; the first is the gradient."),
    "mean": ("m", "m⁺ = β m + (1 − β) g", "The running average of the gradient."),
    "square": ("v", "v⁺ = β v + (1 − β) g²", "The running average of the gradient's square."),
    "largest": ("v̄", "v̄⁺ = max(v̄, v⁺)", "The largest such average so far."),
    "sum": ("s", "s⁺ = s + g²", "The sum of the squares of all gradients so far."),
}

#: An optimizer's update: its formula, and its sentence.
UPDATES = {
    "sgd": ("w⁺ = w − η · u⁺", "A step of SGD, taken once every gradient is known."),
    "rmsprop": ("w⁺ = w − η · g/(√v⁺ + ε)", "A step of RMSprop: the gradient is divided by its usual size."),
    "adagrad": ("w⁺ = w − η · g/(√s⁺ + ε)", "A step of Adagrad: the more a parameter has moved, the less it moves."),
    "adam": (
        "w⁺ = w − η · m̂/(√v̂ + ε)",
        "A step of Adam: averages that began at 0 are divided by 1 − βᵗ, their share after t steps.",
    ),
    "adamw": (
        "w⁺ = w (1 − η λ) − η · m̂/(√v̂ + ε)",
        "A step of AdamW: the decay shrinks the parameter directly and is no part of the gradient.",
    ),
}

#: The letters of an optimizer's settings in formulas.
SETTINGS = {
    "momentum": "μ", "dampening": "τ", "weight_decay": "λ", "alpha": "α", "eps": "ε", "lr_decay": "κ",
    "initial_accumulator_value": "s₀", "betas": ("β₁", "β₂"),
}  # fmt: skip

#: The usual names of the optimizers.
OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}

SIGMOID = "Both 1/(1 + e^(−z)) and e^z/(1 + e^z) are the sigmoid: the one is taken whose power cannot overflow."
LOGARITHM = "Computed from z, the logarithm never meets a 0."
COLLAPSE = (
    "The logarithm in the loss undoes the exponential of the activation: the result is short and needs no division."
)
SOFTMAX = "Subtracting the largest z from every z changes no quotient, and no exponential can overflow."
