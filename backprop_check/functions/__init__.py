"""The functions that a network is made of, each with its derivative.

- ``activations``: a = φ(z) and φ′(z)
- ``losses``: ℓ(a, t) and ∂ℓ/∂a
- ``kinks``: where a derivative jumps, and which values implementations use there

They are the lowest layer of the mathematics. The names allowed in a case, the claims of a port and the schema are
derived from them.
"""
