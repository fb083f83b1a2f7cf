"""Explanations: the mathematics of a pass, neuron by neuron, with its numbers.

- ``making``: from what the user wrote (a name, an id, a file, a shape) to a case
- ``writing``: recorded operations as formulas, with names or with numbers
- ``story``: one neuron's steps; ``explanation``: a whole case's, beside an implementation's numbers if asked for
- ``layout``: steps as text, Markdown and JSON; ``page``: as one HTML page
- ``exercise``: what an unfinished port has to do next
"""

from backprop_check.explain.story import Factor, Step, Term, neuron_story

__all__ = ["Factor", "Step", "Term", "neuron_story"]
