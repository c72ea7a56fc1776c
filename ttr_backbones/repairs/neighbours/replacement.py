"""Patches that stand out, replaced by those around them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def replaced_by_neighbours(patches: Tensor, flagged: Tensor) -> Tensor:
    """Give flagged patches the mean of the clean ones among the eight around each.

    Where none of these is clean it is the mean of all clean patches of the image; an image without
    clean ones stays as it is.

    Args:
        patches: [B, h, w, C].
        flagged: bool [B, h, w].
    """
    clean = (~flagged)[:, None]  # [B, 1, h, w]
    maps = torch.where(clean, patches.permute(0, 3, 1, 2), 0)
    counted = clean.to(maps)
    around = F.avg_pool2d(maps, 3, stride=1, padding=1)
    share = F.avg_pool2d(counted, 3, stride=1, padding=1)
    whole, part = maps.mean(dim=(2, 3), keepdim=True), counted.mean(dim=(2, 3), keepdim=True)
    mean = torch.where(share > 0, around / share.clamp_min(1e-6), whole / part.clamp_min(1e-6))
    change = flagged[:, None] & (part > 0)
    return torch.where(change.permute(0, 2, 3, 1), mean.permute(0, 2, 3, 1), patches)
