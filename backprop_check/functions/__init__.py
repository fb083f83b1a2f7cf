"""The functions that a network is made of, each beside its derivative.

- ``activations``: a = φ(z) beside φ′(z)
- ``losses``: ℓ(a, t) beside ∂ℓ/∂a
- ``kinks``: where a derivative jumps, and what implementations take for it there

They are the lowest layer of the mathematics. What a case may name, what a port may claim and the schema follow from
them.
"""
