"""The layers of the second witness, computed by PyTorch's own functions: one file for each family in ``kinds``.

``LAYERS`` maps a kind to a function of the layer, its input, its parameters by name and the case. It returns (a, z):
the output, and the pre-activation with respect to which δ is computed. z is the output itself where the kind has no
activation, and None where PyTorch does not expose it. Nothing here shares a formula with the reference.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS: dict[str, Callable[..., tuple[Any, Any]]] = {}

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    LAYERS |= getattr(importlib.import_module(f"{__name__}.{_module}"), "LAYERS", {})
