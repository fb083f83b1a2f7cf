"""A case's own numbers as arrays, converted once: both witnesses read the same large tables."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Tables of so many rows times columns are kept; smaller ones are converted faster than looked up.
_LARGE = 2_000

#: So many tables are kept: those of one case or two.
_KEPT = 8

_known: OrderedDict[int, tuple[Any, NDArray[np.float64]]] = OrderedDict()


def as_array(rows: Any) -> NDArray[np.float64]:
    """Nested tuples as a float64 array, which is not to be written to."""
    if not (isinstance(rows, tuple) and rows and isinstance(rows[0], tuple) and len(rows) * len(rows[0]) >= _LARGE):
        return np.array(rows, dtype=np.float64)
    found = _known.get(id(rows))
    if found is not None and found[0] is rows:  # the tuple is kept beside, so that its id is its own
        return found[1]
    array = np.array(rows, dtype=np.float64)
    array.flags.writeable = False
    _known[id(rows)] = (rows, array)
    if len(_known) > _KEPT:
        _known.popitem(last=False)
    return array
