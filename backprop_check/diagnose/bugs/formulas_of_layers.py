"""Formulas of variants of bugs in layers other than dense ones, by code and then by (a part of) the label.

The parts of a label are separated by commas. A key holds for every variant whose label has all its parts; of several
keys the one with the most parts is used. A formula is the wrong one, or a pair of the right and the wrong one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backprop_check.diagnose.bug import Formula

_CONV_GRADIENT = "∂L/∂w[c, i, k] = Σₛ Σₒ δ[s, c, o] · x[s, i, o + k]"
_ROWS = "∂L/∂x[i, y, x] = Σ w[c, i, ky, kx] · δ[c, y − ky, x − kx]"
_AVERAGE = "a = (1/n) Σ x over the window"
_SCORES = "scores = q · k / √d"

#: The batch's variance has the divisor n − 1, and the running variance corrects it once more.
_TWICE = (
    "var = (1/n) Σ (x − μ)², running var⁺ = (1 − m) running var + m n/(n − 1) var",
    "var = (1/(n − 1)) Σ (x − μ)², running var⁺ = (1 − m) running var + m n/(n − 1) var",
)


def _one_added(which: str) -> Formula:
    """Only one of the layers that a sum adds gets a gradient."""
    return "each of the layers that are added gets ∂L/∂y", f"the {which} of the layers that are added gets ∂L/∂y"


FORMULAS: dict[str, dict[str, Formula]] = {
    "BP701": {
        "along the rows only": (_ROWS, "∂L/∂x[i, y, x] = Σ w[c, i, K − 1 − ky, kx] · δ[c, y − ky, x − kx]"),
        "along the columns only": (_ROWS, "∂L/∂x[i, y, x] = Σ w[c, i, ky, K − 1 − kx] · δ[c, y − ky, x − kx]"),
    },
    "BP702": {
        "in the weight's gradient": (_CONV_GRADIENT, "∂L/∂w[c, i, k] = Σₛ Σₒ δ[s, c, o] · x[s, i, o + K − 1 − k]"),
    },
    "BP703": {
        "only the last channel is left": "∂L/∂x[i, y] = Σ over o of w[c, i, k] · δ[c, o], for the last c",
        "the channels of a position are added": "∂L/∂x[i, y] = Σ over c of w[c, i, k] · δ[c, o], for the last o",
        "in a transposed convolution's output": ("z[c, y] = Σ over all i and o", "z[c, y] = the last of these parts"),
        "in a transposed convolution's output, channels added": (
            "z[c, y] = Σ over all i and o",
            "z[c, y] = Σ over i, of the last o",
        ),
        "of a transposed convolution only the last channel is left": (
            "z[c, y] = Σ over all i and o",
            "z[c, y] = Σ over o, of the last i",
        ),
    },
    "BP705": {
        "up to the far corner": "∂L/∂x[y] = ∂L/∂padded[y + 2·padding]",
        "the weight's gradient from the input without padding": (
            "∂L/∂w[k] = Σₒ δ[o] · padded[o + k]",
            "∂L/∂w[k] = Σₒ δ[o] · x[o + k]",
        ),
        "in both gradients": (
            "∂L/∂x[y] = ∂L/∂padded[y + padding], ∂L/∂w[k] = Σₒ δ[o] · padded[o + k]",
            "∂L/∂x[y] = ∂L/∂padded[y], ∂L/∂w[k] = Σₒ δ[o] · x[o + k]",
        ),
    },
    "BP706": {
        "the last position": "∂L/∂b[c] = Σₛ δ[s, c] of the last position",
        "the first position": "∂L/∂b[c] = Σₛ δ[s, c] of the first position",
    },
    "BP707": {
        "w[i, c] in the input's gradient": "w[i, c], in the input's gradient",
        "w[i, c] forward": "w[i, c], in the forward pass",
        "w[i, c] forward and backward alike": "w[i, c], both ways",
        "the weight's gradient with its channels swapped": (
            "∂L/∂w[c, i] = Σ δ[c] · x[i]",
            "∂L/∂w[c, i] = Σ δ[i] · x[c]",
        ),
        "the first input channel's kernel for all of them": "w[c, 0] for every i",
        "the first input channel's kernel for all": "w[c, 0] for every i, in the input's gradient",
        "the weight's gradient from the first input channel": (
            "∂L/∂w[c, i] = Σ δ[c] · x[i]",
            "∂L/∂w[c, i] = Σ δ[c] · x[0] for every i",
        ),
    },
    "BP708": {
        "weight and bias": (
            "∂L/∂w[k] = Σₛ Σₒ δ[s, o] · x[s, o + k], ∂L/∂b = Σₛ Σₒ δ[s, o]",
            "both of these times 1/positions",
        ),
        "weight and bias, by the kernel's area": (
            "∂L/∂w[k] = Σₛ Σₒ δ[s, o] · x[s, o + k], ∂L/∂b = Σₛ Σₒ δ[s, o]",
            "both of these times 1/(the kernel's area)",
        ),
        "the weight, by the kernel's area": "∂L/∂w[k] = (1/(the kernel's area)) Σₛ Σₒ δ[s, o] · x[s, o + k]",
        "the bias": ("∂L/∂b = Σₛ Σₒ δ[s, o]", "∂L/∂b = (1/positions) Σₛ Σₒ δ[s, o]"),
    },
    "BP709": {"as of an average": "∂L/∂x[i] = δ/n of every window of n inputs that i is in"},
    "BP710": {
        "the last window whose largest it is": "∂L/∂x[i] = δ of the last window whose largest i is",
        "the last window that it is in": "∂L/∂x[i] = the share of the last window that i is in",
    },
    "BP711": {
        "each gets all of δ": "all x[i] = max get δ",
    },
    "BP712": {
        "on the way back": ("∂L/∂x = δ/n", "∂L/∂x = δ"),
        "forward and backward": "a = Σ x, ∂L/∂x = δ",
        "forward": ("a = (1/n) Σ x", "a = Σ x"),
    },
    "BP713": {
        "by the whole window": (_AVERAGE, "a = (1/(the whole window)) Σ x, whatever was asked for"),
        "by the positions on the input": (_AVERAGE, "a = (1/(positions on the input)) Σ x, whatever was asked for"),
        "by the positions on the padded input": (
            _AVERAGE,
            "a = (1/(positions on the padded input)) Σ x, whatever was asked for",
        ),
        "by the whole window, on the way back": ("∂L/∂x = δ/n", "∂L/∂x = δ/(the whole window)"),
        "by the positions on the input, on the way back": ("∂L/∂x = δ/n", "∂L/∂x = δ/(positions on the input)"),
        "by the positions on the padded input, on the way back": (
            "∂L/∂x = δ/n",
            "∂L/∂x = δ/(positions on the padded input)",
        ),
    },
    "BP801": {
        "nothing goes back through W_hh": "∂L/∂hₜ = ∂L/∂hₜ (output), and ∂L/∂h₀ alike",
    },
    "BP802": {
        "the first step's (the last one in the loop backward)": "∂L/∂W = δ₁ x₁ᵀ, of the first step",
        "the last step's": "∂L/∂W = δ_T x_Tᵀ, of the last step",
        "the first step's": "∂L/∂W = δ₁ x₁ᵀ, of the first step",
        "the first step's, in the biases": ("∂L/∂b = Σₜ δₜ", "∂L/∂b = δ₁, of the first step"),
        "the last step's, in the biases": ("∂L/∂b = Σₜ δₜ", "∂L/∂b = δ_T, of the last step"),
    },
    "BP804": {
        "to c₀ neither": "∂L/∂cₜ = ∂L/∂hₜ · o · (1 − tanh²(cₜ)), and ∂L/∂c₀ = 0",
        "through f·c, to c₀ neither": "∂L/∂cₜ without ∂L/∂cₜ₊₁ · fₜ₊₁, for c₀ too",
    },
    "BP807": {
        "of gate i": "∂L/∂b_i = ∂L/∂b_f = ∂L/∂b_g = ∂L/∂b_o = Σₜ δ_i",
        "of gate g": "∂L/∂b_i = ∂L/∂b_f = ∂L/∂b_g = ∂L/∂b_o = Σₜ δ_g",
        "of gate o": "∂L/∂b_i = ∂L/∂b_f = ∂L/∂b_g = ∂L/∂b_o = Σₜ δ_o",
    },
    "BP808": {
        "after the product": (
            "reset_after: z_n = W_in x + b_in + r·(W_hn h + b_hn)",
            "reset_after: z_n = W_in x + b_in + r·(W_hn h) + b_hn",
        ),
    },
    "BP902": {"nor does anything go through the mean: both are constants": "∂L/∂x = g/σ"},
    "BP904": {
        "n − 1 forward and backward": ("var = (1/n) Σ (x − μ)²", "var = (1/(n − 1)) Σ (x − μ)², in both passes"),
        "n − 1 forward": ("var = (1/n) Σ (x − μ)²", "var = (1/(n − 1)) Σ (x − μ)², and n in the backward pass"),
        "n for the running variance": (
            "running var⁺ = (1 − m) running var + m (1/(n − 1)) Σ (x − μ)²",
            "running var⁺ = (1 − m) running var + m (1/n) Σ (x − μ)²",
        ),
        "n − 1 forward and backward, and twice for the running variance": _TWICE,
        "n − 1 forward, and twice for the running variance": _TWICE,
    },
    "BP905": {
        "forward and backward": "x̂ = (x − μ)/(√var + ε), and the derivative of that",
        "forward only": "x̂ = (x − μ)/(√var + ε), and a backward pass with √(var + ε)",
    },
    "BP906": {"nor the scale": "∂L/∂x = ∂L/∂a"},
    "BP907": {
        "neither forward nor backward": "a = x · mask, ∂L/∂x = ∂L/∂a · mask",
        "not forward": ("a = x · mask/(1 − p)", "a = x · mask"),
        "not backward": ("∂L/∂x = ∂L/∂a · mask/(1 − p)", "∂L/∂x = ∂L/∂a · mask"),
    },
    "BP909": {
        "the last of each sample": "∂L/∂w[v] = Σₛ ∂L/∂a[s, t] of the last such t of each sample",
        "the first of the batch": "∂L/∂w[v] = ∂L/∂a[s, t] of the first such place",
        "the first of each sample": "∂L/∂w[v] = Σₛ ∂L/∂a[s, t] of the first such t of each sample",
    },
    "BP910": {
        "in the backward pass only": (
            "∂L/∂q = Σ ∂L/∂scores k / √d, ∂L/∂k alike",
            "∂L/∂q = Σ ∂L/∂scores k, ∂L/∂k alike",
        ),
        "in the keys' gradient only": ("∂L/∂k = Σ ∂L/∂scores q / √d", "∂L/∂k = Σ ∂L/∂scores q"),
        "in the forward pass only": (_SCORES, "scores = q · k, and a backward pass with 1/√d"),
        "the root of the whole width": (_SCORES, "scores = q · k / √E, E the width of all heads together"),
        "divided by d itself": (_SCORES, "scores = q · k / d"),
        "multiplied by √d": (_SCORES, "scores = q · k · √d"),
        "1/√d where another scale is asked for": ("scores = q · k · scale", "scores = q · k / √d"),
    },
    "BP911": {
        "of scores that a mask hides too": "∂L/∂scoresⱼ = gⱼ, also where a mask hides j",
        "only the Jacobian's diagonal": "∂L/∂scoresⱼ = gⱼ pⱼ (1 − pⱼ)",
        "only the factor p": "∂L/∂scoresⱼ = pⱼ gⱼ",
    },
    "BP912": {
        "the thirds are taken for query": "q = W[0:E] x, v = W[E:2E] x, k = W[2E:3E] x",
        "the thirds are taken for value, query, key": "v = W[0:E] x, q = W[E:2E] x, k = W[2E:3E] x",
        "the thirds are taken for key, value, query": "k = W[0:E] x, v = W[E:2E] x, q = W[2E:3E] x",
        "the thirds are taken for value, key, query": "v = W[0:E] x, k = W[E:2E] x, q = W[2E:3E] x",
    },
    "BP913": {
        "only the latest of the layers that are added gets it": _one_added("latest"),
        "only the earliest of the layers that are added gets it": _one_added("earliest"),
        "only the first of the layers that are added gets it": _one_added("first"),
        "only the last of the layers that are added gets it": _one_added("last"),
        "around attention": "y = F(x), ∂L/∂x = what comes back through F",
        "around the linear layers": "y = F(x), ∂L/∂x = what comes back through F",
        "around attention and around the linear layers": "y = F(x), ∂L/∂x = what comes back through F",
        "in the backward pass only": ("∂L/∂x = ∂L/∂y + what comes back through F", "∂L/∂x = what comes back through F"),
        "around attention, in the backward pass only": "∂L/∂x = what comes back through F",
        "around the linear layers, in the backward pass only": "∂L/∂x = what comes back through F",
        "the others are not added forwards either": "y = one of the layers that are added, which alone gets ∂L/∂y",
        "the others are not added forwards": ("y = Σ of the layers that are added", "y = one of them"),
        "of layers that are added only the last counts": ("y = Σ of the layers that are added", "y = the last of them"),
        "of layers that are added only the first counts": (
            "y = Σ of the layers that are added",
            "y = the first of them",
        ),
    },
    "BP914": {"over all queries and keys of a head": "p[i, j] = e^s[i, j] / Σᵢⱼ e^s[i, j]"},
    "BP915": {"hidden scores are set to 0": "p = softmax of the scores, with 0 for those that are hidden"},
    "BP916": {
        "when they are split": "the heads are views [head][token][feature], without exchanging the axes",
        "when they are put together": "what the heads give is put together as [head][token][feature]",
        "a token's features go to the heads in turns": "head h has the features h, h + H, h + 2H, … (H heads)",
        "in turns when they are put together": "head h gives back the features h, h + H, h + 2H, … (H heads)",
        "one head": "one head has all features",
    },
    "BP917": {
        "always after the sum": "y = N(x + A(x)), also where norm_first is asked for",
        "always before the part": "y = x + A(N(x)), also where norm_first is not asked for",
        "the path around starts behind the norm": ("norm_first: y = x + A(N(x))", "norm_first: y = N(x) + A(N(x))"),
    },
    "BP918": {
        "the causal one": "query i sees the keys after it, too",
        "that of padding": "query i sees keys that key_padding_mask has true for",
        "true is taken for a key that counts": "query i sees only keys that key_padding_mask has true for",
        "the causal mask is turned round: a query sees the keys from its own on": "query i sees the keys i, i + 1, …",
    },
    "BP919": {
        "all sines": "sin of the angles in the first half of the features, cos in the second",
        "cosine for even features": "cos(p / base^(2i/d)) for feature 2i, sin(p / base^(2i/d)) for feature 2i + 1",
        "positions count from 1": "sin and cos of the same angles, p from 1",
        "10000": "sin(p / 10000^(2i/d)), cos of it, whatever base is asked for",
        "multiplied by base^(2i/d) instead of divided": "sin(p · base^(2i/d)), cos(p · base^(2i/d))",
    },
}
