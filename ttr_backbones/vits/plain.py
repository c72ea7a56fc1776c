"""timm's `VisionTransformer`: DINOv2, CLIP, DeiT, augreg and most others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from timm.models.vision_transformer import (
    Attention,
    ResPostBlock,
    VisionTransformer,
    checkpoint_filter_fn,
)
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.block_parts import BlockParts
from ttr_backbones.vits.constant_tokens import ConstantTokens
from ttr_backbones.vits.family import register_family
from ttr_backbones.vits.plain_registers import PlainRegisterTokens
from ttr_backbones.vits.register_tokens import insert_registers
from ttr_backbones.vits.timm_family import POST_NORM, TimmFamily
from ttr_backbones.vits.timm_parts import plain_parts
from ttr_backbones.vits.tokens import Heads


class PlainViT(TimmFamily):
    """timm's `VisionTransformer`."""

    register_tokens = PlainRegisterTokens
    constant_tokens = ConstantTokens

    name = "timm VisionTransformer"
    examples = "DINOv2, CLIP, DeiT, augreg and other plain ViTs"

    def owns(self, vit: Any) -> bool:
        """Whether `vit` is a `VisionTransformer`."""
        return isinstance(vit, VisionTransformer)

    def check(self, vit: Any) -> None:
        """Raise InputError for a model with a sequence of its own, or norms behind its MLPs."""
        if any(isinstance(block, ResPostBlock) for block in vit.blocks):
            raise InputError(f"test-time registers have no place in this model: {POST_NORM}")
        if type(vit)._pos_embed is not VisionTransformer._pos_embed:  # noqa: SLF001 (only compared)
            raise InputError(
                f"{type(vit).__name__} puts its sequence together in a way of its own (a "
                "distillation token), where a register has no place: use the model without "
                "distillation"
            )

    def embed(self, vit: Any, patches: Tensor, table: Tensor | None) -> Tensor:
        """Put the sequence together as `_pos_embed` does, without resampling."""
        tokens = self.sequence(vit, patches, table)
        tokens = tokens if table is None else vit.pos_drop(tokens)
        tokens = vit.norm_pre(vit.patch_drop(insert_registers(vit, tokens)))
        return tokens

    def run_block(
        self, vit: Any, block: int, tokens: Tensor, rotation: Tensor | None, **options: Any
    ) -> Tensor:
        """Run one block, which turns nothing."""
        del rotation
        tokens = vit.blocks[block](tokens, **options)
        return tokens

    def has_classifier(self, vit: Any) -> bool:
        """Whether the head gives classes; in a CLIP without fine-tuning it is the projection.

        A CLIP has a norm before its blocks, and timm gives a projection, which has no bias, one of
        zeros.
        """
        clip = not isinstance(vit.norm_pre, nn.Identity)
        return bool(vit.num_classes > 0 and not (clip and _is_zero(vit.head)))

    def renamed(self, vit: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename as timm's filter does for DINOv2, CLIP, DeiT-III and others."""
        # adapt_layer_scale renames DeiT-III's gamma_1 and touches no other family.
        renamed: dict[str, Tensor] = checkpoint_filter_fn(dict(state), vit, adapt_layer_scale=True)
        return renamed

    def attention(self, block: Any) -> Any:
        """The block's `Attention`."""
        attention = getattr(block, "attn", None)
        if not isinstance(attention, Attention):
            raise InputError(
                f"a {type(block).__name__}, attention {type(attention).__name__}: queries, keys "
                "and values can be read from timm's standard `Attention` only"
            )
        return attention

    def head_shape(self, block: Any) -> tuple[int, int]:
        """(heads, head_dim)."""
        attention = self.attention(block)
        return int(attention.num_heads), self.qkv_widths(block)[1] // int(attention.num_heads)

    def qkv_widths(self, block: Any) -> tuple[int, int, int]:
        """Channels of queries, keys and values: a third of those of `qkv` each."""
        width = int(self.attention(block).qkv.out_features) // 3
        return width, width, width

    def attention_input(self, block: Any, tokens: Tensor) -> Tensor:
        """`norm1`; nothing where a norm stands behind the attention."""
        return tokens if isinstance(block, ResPostBlock) else block.norm1(tokens)

    def qkv(self, block: Any, tokens: Tensor) -> Heads:
        """What `qkv` gives, [B, N, heads * head_dim] each."""
        return Heads(*self.attention(block).qkv(tokens).chunk(3, dim=-1))

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

    def parts(self, block: Any) -> BlockParts:
        """Those of a pre-norm `Block`."""
        return plain_parts(block)


PLAIN = register_family(PlainViT())


# Of each head what its bias was when it was read, and whether that was zero.
_zeros: WeakKeyDictionary[nn.Module, tuple[Any, bool]] = WeakKeyDictionary()


def _is_zero(head: nn.Module) -> bool:
    """Whether the bias of a head is zero or absent; read anew where it has been written to.

    Every pooled embedding asks, and to read a tensor of a GPU is to wait for it.
    """
    bias: Any = getattr(head, "bias", None)
    if bias is None:
        return True
    if bias.is_inference():  # which counts no writes
        return not bias.any()
    stamp = (bias.data_ptr(), bias._version)  # noqa: SLF001
    if head not in _zeros or _zeros[head][0] != stamp:
        _zeros[head] = (stamp, not bias.any())
    return _zeros[head][1]
