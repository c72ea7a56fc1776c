"""Normalising a batch of images of one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmseg.registry import MODELS
from torch import nn


def build_preprocessor(backbone: Any, config: Mapping[str, Any] | None) -> nn.Module:
    """Build a data_preprocessor; None is mmengine's, with the backbone's mean and std, for BGR."""
    default = {
        "type": "ImgDataPreprocessor",
        "mean": backbone.mean,
        "std": backbone.std,
        "bgr_to_rgb": True,
    }
    built: nn.Module = MODELS.build(dict(config or default))
    return built
