"""Facts of a vision tower of transformers."""

from __future__ import annotations

from typing import Any

from timm.data import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from torch import nn

import ttr_backbones.vits.hf_parts as hf_parts
from ttr_backbones.vits.architecture_facts import ArchitectureFacts

_IMAGENET = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_STATISTICS = {
    "CLIPVisionEmbeddings": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    "ViTEmbeddings": _HALF,
    "SiglipVisionEmbeddings": _HALF,
}
"""Mean and std that the image processors of transformers have by default, where not ImageNet's."""


def facts_of(vit: Any, vision: Any) -> ArchitectureFacts:
    """Read the modules and the config.

    Args:
        vit: the model; mean, std and the size of images come from its `pretrained_cfg`, if it has
            one, and else are those of its class.
        vision: its tower.
    """
    cfg = getattr(vit, "pretrained_cfg", None) or {}
    kernel = hf_parts.convolution(vision).weight
    patch = (int(kernel.shape[2]), int(kernel.shape[3]))
    size = vision.config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    mean, std = _STATISTICS.get(type(vision.embeddings).__name__, _IMAGENET)
    return ArchitectureFacts(
        channels=int(kernel.shape[0]),
        patch_size=patch,
        image_size=tuple(cfg.get("input_size", (3, height, width))[1:]),
        grid=(height // patch[0], width // patch[1]),
        only_this_size=False,
        pads=False,
        mean=tuple(cfg.get("mean", mean)),
        std=tuple(cfg.get("std", std)),
        norms_tokens=not isinstance(hf_parts.final_norm(vision), nn.Identity),
        prefix_has_positions=hf_parts.positions(vision) is not None
        and hf_parts.cls_token(vision) is not None
        and not hf_parts.cls_apart(vision),
    )
