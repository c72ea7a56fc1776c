"""Position embeddings as the DINOv2 repository resamples them."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

_OFFSET = 0.1


def embed_dinov2(vit: VisionTransformer, patches: Tensor) -> Tensor:
    """Add prefix and position embeddings as DINOv2 does for its models without registers.

    Bicubic without antialiasing, by a scale factor whose numerator has an offset of 0.1; at the
    model's own grid nothing is resampled. At 224 px the features differ from timm's by 0.15.

    Args:
        vit: a model whose prefix has position embeddings (`no_embed_class` False).
        patches: output of the patch embedding, [B, h, w, C].

    Returns:
        Tokens [B, prefix + h * w, C].
    """
    B, h, w, C = patches.shape
    prefix = [t.expand(B, -1, -1) for t in (vit.cls_token, vit.reg_token) if t is not None]
    tokens = torch.cat([*prefix, patches.reshape(B, h * w, C)], dim=1)
    grid = vit.patch_embed.grid_size
    own = vit.pos_embed
    if (h, w) == tuple(grid):
        return vit.pos_drop(tokens + own)
    num = vit.num_prefix_tokens
    square = own[:, num:].float().reshape(1, *grid, C).permute(0, 3, 1, 2)
    scale = ((h + _OFFSET) / grid[0], (w + _OFFSET) / grid[1])
    resampled = F.interpolate(square, scale_factor=scale, mode="bicubic", antialias=False)
    resampled = resampled.permute(0, 2, 3, 1).reshape(1, h * w, C).to(own.dtype)
    return vit.pos_drop(tokens + torch.cat([own[:, :num], resampled], dim=1))
