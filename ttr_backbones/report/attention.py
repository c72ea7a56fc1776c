"""Attention weights, which fused attention never gives: recomputed for the blocks asked for."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ttr_backbones.repairs.bias import with_constant_keys


def cls_attention(block: Any, tokens: Tensor, *, first_patch: int) -> Tensor:
    """Attention of the CLS token to every patch in one block of a timm ViT.

    Args:
        block: the block.
        tokens: its input, [B, N, C], CLS first.
        first_patch: index of the first patch token.

    Returns:
        Softmax weights [B, heads, patches]; the rest of each row's sum of 1 is on the prefix and on
        constant keys (registers in the bias form).
    """
    attn = block.attn
    B, N, _ = tokens.shape
    qkv = attn.qkv(block.norm1(tokens)).reshape(B, N, 3, attn.num_heads, -1)
    query, key, _ = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, N, d]
    query, key = attn.q_norm(query[:, :, :1]), with_constant_keys(attn, attn.k_norm(key))
    weights = (query * attn.scale @ key.transpose(-2, -1)).softmax(dim=-1)
    return weights[:, :, 0, first_patch:N]
