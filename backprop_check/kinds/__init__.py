"""The kinds of layers, one file per family. Every module of this package is imported, so a new kind registers itself.

``AnyLayer`` is the type that a layer of a case is decoded into; ``KINDS`` maps each kind's name to its class.
"""

from __future__ import annotations

import functools
import importlib
import operator
import pkgutil
from typing import TYPE_CHECKING

from backprop_check.functions import names
from backprop_check.kinds.kind import Kind, Shape

_NOT_KINDS = ("kind", "unroll", "wiring")

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    if _module not in _NOT_KINDS:
        importlib.import_module(f"{__name__}.{_module}")


def _leaves(kind: type[Kind]) -> list[type[Kind]]:
    """The classes at the bottom of the tree of subclasses: those that have a name on the wire."""
    below = kind.__subclasses__()
    return [kind] if not below else [leaf for each in below for leaf in _leaves(each)]


KINDS: dict[str, type[Kind]] = {
    str(kind.__struct_config__.tag): kind
    for kind in sorted(_leaves(Kind), key=lambda kind: str(kind.__struct_config__.tag))
}

#: The families beyond chains of dense layers, in the order in which they are usually taught. Each has a suite of its
#: own: ``graph`` tests how layers are connected, the others test kinds of layers.
FAMILIES = tuple(
    name for name in names.FAMILIES if name == "graph" or any(kind.family == name for kind in KINDS.values())
)

#: What a port may claim in ``supports.features`` about networks: free connections, and what some kinds need.
FEATURES = ("graph", *sorted({each for kind in KINDS.values() for each in (*kind.needs, *kind.options)}))

if TYPE_CHECKING:
    from backprop_check.kinds.dense import Dense as AnyLayer  # for type checkers: it has what every layer has
else:
    AnyLayer = functools.reduce(operator.or_, KINDS.values())

__all__ = ["FAMILIES", "FEATURES", "KINDS", "AnyLayer", "Kind", "Shape"]
