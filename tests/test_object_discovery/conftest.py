"""Feature maps with known answers, and features of the real ViT."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.backbones import TimmViT

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture(scope="session")
def rectangle():
    """Make features [h * w, 2]: one direction in rows and columns, nearly its opposite around."""

    def make(grid, rows, columns):
        feats = torch.tensor([-1.0, 0.0]).repeat(*grid, 1)
        feats[slice(*rows), slice(*columns)] = torch.tensor([1.0, 1.0])
        return feats.flatten(0, 1)

    return make


@pytest.fixture(scope="session")
def real_maps(tiny_weights, photos):
    """Keys and values of the real ViT's last block for eight photographs, [8, 192, 14, 14]."""
    backbones = [
        TimmViT(TINY, checkpoint=tiny_weights, facet=facet, pad="corner")
        for facet in ("key", "value")
    ]
    return [backbone(photos(224))[0] for backbone in backbones]
