"""The neuron-level reference: the stages of backpropagation, one neuron of one sample at a time.

- ``rules``: tables of numbers, the four rules by which a table is computed from others, and the chain rule through them
- ``circuit``: where a layer kind writes its equations
- ``stages``: what a named bug can replace: rules, loss, delta of the output, update
- ``optimizers``: clipping, decay, penalties, and each optimizer's update
- ``passes``: the pass through a network: forward, loss, back, update

It uses no array library and is generic over its number type (``backprop_check.numbers``).
"""

from backprop_check.reference.passes import Pass, run_pass
from backprop_check.reference.stages import Stages

__all__ = ["Pass", "Stages", "run_pass"]
