"""The neuron-level reference: the stages of backpropagation, one neuron of one sample at a time.

- ``activations``: each function beside its derivative
- ``losses``: each loss beside its derivative
- ``stages``: weighted sum, activation, loss, delta, gradient, update, each naming its equation
- ``optimizers``: clipping, decay, penalties, and each optimizer's update
- ``backward``: the pass that strings the stages together

It uses no array library and is generic over its number type (``backprop_check.numbers``).
"""

from backprop_check.reference.backward import LayerPass, Pass, run_pass
from backprop_check.reference.stages import Stages

__all__ = ["LayerPass", "Pass", "Stages", "run_pass"]
