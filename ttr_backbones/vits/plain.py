"""timm's `VisionTransformer`: DINOv2, CLIP, DeiT, augreg and most others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.models.vision_transformer import Attention, VisionTransformer
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.family import Family, Heads, register_family


@register_family
class PlainViT(Family):
    """timm's `VisionTransformer`."""

    name = "timm VisionTransformer"
    examples = "DINOv2, CLIP, DeiT, augreg and other plain ViTs"

    def owns(self, vit: Any) -> bool:
        """Whether `vit` is a `VisionTransformer`."""
        return isinstance(vit, VisionTransformer)

    def blocks(self, vit: Any) -> Sequence[Any]:
        """The transformer blocks, in order."""
        blocks: Sequence[Any] = vit.blocks
        return blocks

    def patch_embedding(self, vit: Any) -> nn.Module:
        """The patch embedding of a model for every size, which gives [B, h, w, C]."""
        module: nn.Module = vit.patch_embed
        return module

    def attention(self, block: Any) -> Any:
        """The block's `Attention`."""
        attention = getattr(block, "attn", None)
        if not isinstance(attention, Attention):
            raise InputError(
                f"a {type(block).__name__}, attention {type(attention).__name__}: queries, keys "
                "and values can be read from timm's standard `Attention` only"
            )
        return attention

    def mlp(self, block: Any) -> Any:
        """The block's `Mlp`, `GluMlp` or `SwiGLU`."""
        mlp = getattr(block, "mlp", None)
        if not (hasattr(mlp, "norm") and hasattr(getattr(mlp, "fc2", None), "in_features")):
            raise InputError(
                f"a {type(block).__name__} without timm's `mlp.norm` and `mlp.fc2`: test-time "
                "registers need blocks with one standard MLP (Mlp, GluMlp, SwiGLU)"
            )
        return mlp

    def second_linear(self, block: Any) -> Any:
        """The MLP's `fc2`."""
        return self.mlp(block).fc2

    def hidden(self, block: Any) -> nn.Module:
        """The MLP's `norm`, in most ViTs an identity."""
        module: nn.Module = self.mlp(block).norm
        return module

    def heads(self, block: Any, tokens: Tensor) -> Heads:
        """Queries, keys and values by head, normed: [B, heads, N, head_dim] each."""
        attention = self.attention(block)
        qkv = attention.qkv(tokens).unflatten(2, (3, attention.num_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return Heads(attention.q_norm(query), attention.k_norm(key), value)

    def check_constants(self, block: Any) -> None:
        """Raise InputError unless the block has timm's standard attention without a gate."""
        attention = getattr(block, "attn", None)
        gated = getattr(attention, "gate", None) is not None
        if type(attention) is not Attention or gated:
            raise InputError(
                f"a {type(block).__name__} with attn={type(attention).__name__}"
                f"{' and a gate' if gated else ''}: constant keys and values need timm's standard "
                "`Attention` without a gate. Use registers as tokens instead (type='test_time', "
                "add_test_time_registers)"
            )

    def scale(self, block: Any) -> float:
        """Factor on the product of a query and a key."""
        return float(self.attention(block).scale)
