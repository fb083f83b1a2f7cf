"""Explanations: the mathematics of a pass, neuron by neuron, with its numbers.

- ``making``: from what the user wrote (a name, an id, a file, a shape) to a case
- ``writing``: recorded operations as formulas, with names or with numbers
- ``steps``, ``wording``, ``names``: what a step is, its sentence, and what its quantities are called
- ``recall``: a pass, each of whose numbers tells how it was made; ``tables``: what its tables are called
- ``story``: the steps of a pass; ``told``: which of them are told
- ``explanation``: a case's, beside an implementation's numbers if asked for
- ``layout``: steps as text, Markdown and JSON; ``breaking``: long formulas in lines
- ``page``: steps as one HTML page; ``picture``: the network that it shows
- ``shorter``: what a terminal shows of many steps of one kind
- ``beside``: an implementation's numbers beside the right ones; ``bug``: a named bug's page
- ``starting``: a port to start from; ``exercise``, ``mistakes``: what an unfinished one has to do next
"""

from backprop_check.explain.steps import Factor, Step, Term

__all__ = ["Factor", "Step", "Term"]
