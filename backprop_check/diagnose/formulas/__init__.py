"""Formulas: which formula gives the numbers of a stage that is wrong, where no bug of the catalogue does.

A *site* is a quantity at a kind of place, such as δ in the output layer. Where everything that its correct formula
reads was reported, the site is judged by itself, so two bugs at two sites do not hide each other. The search replaces
one or two operands of the correct formula by other numbers in scope, and solves for a constant factor:

- ``scope``: the numbers in scope at a layer, with their bounds
- ``operands``: the operands that may stand in the formula of each quantity, and what each replacement means
- ``search``: which combination gives all the numbers of a site, in every case
- ``whole``: passes with the formulas in them, for what cannot be judged stage by stage
- ``telling``: the cause, in words
- ``rules``: one changed rule in layers of other kinds, which compute through numbers that nobody reports
- ``updates``: one changed formula of an optimizer
"""

from backprop_check.diagnose.formulas.rules import edited_rule
from backprop_check.diagnose.formulas.telling import formula_causes
from backprop_check.diagnose.formulas.updates import edited_update

__all__ = ["edited_rule", "edited_update", "formula_causes"]
