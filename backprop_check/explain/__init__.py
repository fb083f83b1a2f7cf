"""Explanations: the mathematics of a pass, neuron by neuron, with its numbers.

- ``making``: finds or makes the case that the user means (a name, an id, a file, a shape)
- ``writing``: recorded operations as formulas, with names or with numbers
- ``steps``, ``wording``, ``names``: what a step is, its sentence, and the names of its quantities
- ``recall``: a pass whose numbers know how they were computed; ``tables``: the names of its tables
- ``story``: the steps of a pass; ``selection``: which of them are shown
- ``explanation``: the explanation of a case, if asked for with an implementation's numbers
- ``layout``: steps as text, Markdown and JSON; ``breaking``: long formulas broken into lines
- ``page``: steps as one HTML page; ``picture``: the network that it shows
- ``shorter``: what a terminal shows of many similar steps
- ``comparing``: an implementation's numbers next to the right ones; ``bug``: the page of a named bug
- ``starting``: a port to start from; ``exercise``, ``mistakes``: the next task in an unfinished port
"""

from backprop_check.explain.steps import Factor, Step, Term

__all__ = ["Factor", "Step", "Term"]
