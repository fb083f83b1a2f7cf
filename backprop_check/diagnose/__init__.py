"""Diagnosis: finding the first wrong neuron, the name of the bug, and the remedy.

- ``given``: the reference, run on the values that the implementation itself reported
- ``blame``: which values are wrong given their own inputs (roots), and which only follow (inherited)
- ``bug``, ``bugs``, ``catalogue``: named bugs, as replaced stages of the reference, each with its page
- ``match``: which names reproduce an implementation's numbers; ``signs`` describes wrong values that no name explains
- ``causes``: one cause per bug of a whole run, with the cases that it explains; ``apart``: cases that tell names apart
- ``behaviour``: errors that show only in several cases (the same case twice, another order, permuted neurons)
- ``shrink``: the smallest network that still shows a failure, found by ``reductions``, which change a case in pieces
  (``draft``) and make the rest of it fit (``fitting``)
"""
