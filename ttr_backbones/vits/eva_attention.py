"""Queries, keys and values of the attention in timm's `Eva`: fused or not, grouped or not."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import apply_rot_embed_cat
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.vits.constant_tokens import ConstantTokens
from ttr_backbones.vits.tokens import Heads


def projected(attention: Any, x: Tensor) -> Heads:
    """Give what the linear layers give, with their biases.

    Args:
        attention: an `EvaAttention`, whose fused layer has its biases apart (q_bias, v_bias; the
            keys have none), or an `AttentionRope`.
        x: its input, [B, N, C].

    Returns:
        [B, N, heads * head_dim]; keys and values may have fewer heads than queries.
    """
    if attention.qkv is None:
        return Heads(attention.q_proj(x), attention.k_proj(x), attention.v_proj(x))
    if getattr(attention, "q_bias", None) is None:
        return Heads(*attention.qkv(x).chunk(3, dim=-1))
    bias = torch.cat((attention.q_bias, attention.k_bias, attention.v_bias))
    if attention.qkv_bias_separate:
        return Heads(*(attention.qkv(x) + bias).chunk(3, dim=-1))
    return Heads(*F.linear(x, attention.qkv.weight, bias).chunk(3, dim=-1))


def by_head(attention: Any, x: Tensor) -> Heads:
    """Queries, keys and values normed, not turned, [B, heads, N, head_dim] each.

    Heads of keys and values that several heads of queries share are repeated for each of them.
    """
    query, key, value = (
        part.unflatten(2, (-1, attention.head_dim)).transpose(1, 2)
        for part in projected(attention, x)
    )
    query, key = attention.q_norm(query), attention.k_norm(key)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    return Heads(query, key, value)


def turned(attention: Any, tokens: Tensor, rotation: Tensor) -> Tensor:
    """Turn queries or keys by their positions; the prefix stays as it is.

    Args:
        attention: of the block.
        tokens: [B, heads, P + R + h * w, head_dim].
        rotation: sine and cosine of the patches, [(heads,) h * w, 2 * head_dim], float32.
    """
    first = attention.num_prefix_tokens
    half = getattr(attention, "rotate_half", False)
    patches = apply_rot_embed_cat(tokens[:, :, first:], rotation, half=half)
    return torch.cat([tokens[:, :, :first], patches.type_as(tokens)], dim=2)


class EvaConstantTokens(ConstantTokens):
    """`EvaAttention` or `AttentionRope` with R more keys and values, which have no position."""

    gate: Any

    def forward(  # type: ignore[override]  # timm's own arguments
        self,
        x: Tensor,
        rope: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """[B, N, C] -> [B, N, C], as timm's with the constants among the keys and values."""
        q, k, v = by_head(self, x)
        if rope is not None:
            q, k = (turned(self, part, rope).type_as(v) for part in (q, k))
        y = self.norm(self.attended(q, k, v, attn_mask, is_causal))
        if getattr(self, "gate", None) is not None:
            y = y * self.gate(x).sigmoid()
        return self.proj_drop(self.proj(y))
