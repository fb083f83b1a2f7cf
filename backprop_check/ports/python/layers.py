"""Every kind of layer that this port has. A family of kinds is one file, and each file but dense.py can be left out."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from dense import Dense

#: Every kind of layer, by its name in a case.
LAYERS: dict[str, Any] = {"dense": Dense}

#: What the port can say of itself under ``features``: layers wired freely, and what some kinds of layers can do.
LAYER_FEATURES = ["graph", "label_smoothing"]

for _file in ("convolution", "recurrent", "normalisation", "attention"):
    if Path(__file__).with_name(_file + ".py").is_file():
        _module = importlib.import_module(_file)
        LAYERS.update(_module.LAYERS)
        LAYER_FEATURES.extend(getattr(_module, "FEATURES", []))
