"""Diagnosis: from wrong numbers to the neuron that is to blame, the bug's name, and what to do.

- ``given``: the reference fed with what the implementation itself reported
- ``blame``: which stages are wrong given their own inputs, which only inherit
- ``bug``, ``bugs``, ``catalogue``: named bugs, as stages swapped in the reference, each beside its page
- ``match``: which names reproduce an implementation's numbers; ``pattern`` says what is seen where none does
- ``causes``: over a whole run: one cause for each bug, with what it explains; ``apart``: cases that tell names apart
- ``behaviour``: what shows only in several cases (the same case twice, another order, permuted neurons)
- ``shrink``: the smallest network that still shows it: ``chains`` of dense layers, ``reductions`` of any others,
  which change a case in pieces (``draft``) and make the rest of it fit (``fitting``)
"""
