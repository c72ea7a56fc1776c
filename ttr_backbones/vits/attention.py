"""Attention weights, which fused attention never gives: recomputed for the blocks asked for."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ttr_backbones.vits.constant_tokens import with_constant_keys
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.tokens import Grid


def cls_attention(vit: Any, block: int, tokens: Tensor, grid: Grid) -> Tensor:
    """Attention of the CLS token to every patch in one block.

    Args:
        vit: a model with a CLS token.
        block: 0-based.
        tokens: what the attention of this block is given (`Site(block, "attention")`), [B, N, C].
        grid: (h, w) of the patches among them.

    Returns:
        Softmax weights [B, heads, h * w]; the rest of each row's sum of 1 is on the prefix and on
        constant keys (registers in the bias form).
    """
    family, num_tokens = family_of(vit), tokens.shape[1]
    module = family.blocks(vit)[block]
    heads = family.heads(module, tokens)
    # CLS stands first, before all that positions turn.
    query = heads.query[:, :, :1] * family.scale(module)
    key = family.rotated(vit, block, heads.key, grid)
    key = with_constant_keys(family.attention(module), key)
    weights = (query @ key.transpose(-2, -1)).softmax(dim=-1)
    return weights[:, :, 0, num_tokens - grid[0] * grid[1] : num_tokens]
