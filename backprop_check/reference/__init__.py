"""The neuron-level reference: the stages of backpropagation, one neuron of one sample at a time.

- ``activations``: each function beside its derivative
- ``losses``: each loss beside its derivative
- ``stages``: weighted sum, activation, loss, delta, gradient, update, each naming its equation
- ``optimizers``: clipping, decay, penalties, and each optimizer's update
- ``circuit``: tables of numbers, the four rules by which one is made of others, and the chain rule through them
- ``wired``: the pass through a network: forward, loss, back, update

It uses no array library and is generic over its number type (``backprop_check.numbers``).
"""

from backprop_check.reference.passes import Pass, run_pass
from backprop_check.reference.stages import Stages

__all__ = ["Pass", "Stages", "run_pass"]
