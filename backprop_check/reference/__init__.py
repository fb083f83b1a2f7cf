"""The neuron-level reference: the stages of backpropagation, one neuron of one sample at a time.

- ``activations``: each function beside its derivative
- ``losses``: each loss beside its derivative
- ``stages``: weighted sum, activation, loss, delta, gradient, update, each naming its equation
- ``optimizers``: clipping, decay, penalties, and each optimizer's update
- ``backward``: the pass that strings the stages together, for dense layers one after the other
- ``circuit``: the chain rule for any equations, and ``wired``: the pass through any network of any layers

It uses no array library and is generic over its number type (``backprop_check.numbers``).
"""

from backprop_check.reference.backward import LayerPass, Pass, run_pass
from backprop_check.reference.stages import Stages
from backprop_check.reference.wired import WiredPass, run_wired

__all__ = ["LayerPass", "Pass", "Stages", "WiredPass", "run_pass", "run_wired"]
