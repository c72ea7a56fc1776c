"""Test-time registers for any timm Vision Transformer, plugged into OpenMMLab's dense tasks.

Importing this package imports neither torch nor mmseg; the public names are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "RegisterNeurons": "ttr_backbones.registers",
    "add_test_time_registers": "ttr_backbones.registers",
    "remove_test_time_registers": "ttr_backbones.registers",
    "outlier_mask": "ttr_backbones.registers",
    "find_register_neurons": "ttr_backbones.registers",
    "tune_register_neurons": "ttr_backbones.registers",
    "TimmViT": "ttr_backbones.backbones",
    "LinearSegHead": "ttr_backbones.heads",
    "LinearDepthHead": "ttr_backbones.heads",
    "DepthMetric": "ttr_backbones.evaluation",
    "depth_errors": "ttr_backbones.evaluation",
    "eigen_mask": "ttr_backbones.evaluation",
    "CorLocMetric": "ttr_backbones.evaluation",
    "corloc": "ttr_backbones.evaluation",
    "lost": "ttr_backbones.object_discovery",
    "ObjectDiscoverer": "ttr_backbones.object_discovery",
    "Inferencer": "ttr_backbones.inference",
    "SavedFeatures": "ttr_backbones.inference",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 (the keys are strings)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ttr_backbones' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
