"""The number types ("readings") that the reference runs on.

The reference is written once, for one neuron of one sample at a time. Its reading provides loops (``each``), containers
(``grid``) and mathematics (``dots``, ``exp``, …), so that the same lines compute, with

- ``Scalars.of_floats()``: the textbook pass, one float at a time;
- ``Scalars.of_mpmath(50)``: the exact values to 50 digits;
- ``Lanes(unit_roundoff)``: every value *with its error bound*, for all neurons of a layer and all samples at once.
"""

from backprop_check.numbers.lane import Lane
from backprop_check.numbers.lanes import Lanes
from backprop_check.numbers.scalars import Scalars

#: u, the unit roundoff of each dtype: the largest relative error of one rounding (Higham §2.1).
UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}

#: The smallest normal number of each dtype: below it a right implementation may flush to zero.
SMALLEST_NORMAL = {"float64": 2.0**-1022, "float32": 2.0**-126}

__all__ = ["SMALLEST_NORMAL", "UNIT_ROUNDOFF", "Lane", "Lanes", "Scalars"]
