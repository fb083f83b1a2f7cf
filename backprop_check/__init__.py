"""backprop-check: a conformance suite for backpropagation, neuron by neuron.

``check(implementation)`` judges a Python callable; the command line and the pytest plugin judge programs in any
language. Importing the package imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backprop_check.api import Mismatched, Results, check

__version__ = "0.1.0"
__all__ = ["Mismatched", "Results", "__version__", "check"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from backprop_check import api  # noqa: PLC0415 - numpy and torch only where they are used

        return getattr(api, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
