"""timm's `Eva`: DINOv3, EVA02, Perception Encoder, ROPE-ViT and others with rotary positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.layers import AttentionRope
from timm.models.eva import Eva, EvaAttention, EvaBlockPostNorm, checkpoint_filter_fn
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.vits.block_parts import BlockParts
from ttr_backbones.vits.eva_attention import EvaConstantTokens, by_head, projected, turned
from ttr_backbones.vits.eva_registers import EvaRegisterTokens
from ttr_backbones.vits.family import register_family
from ttr_backbones.vits.register_tokens import insert_registers
from ttr_backbones.vits.timm_family import POST_NORM, TimmFamily
from ttr_backbones.vits.timm_parts import eva_parts
from ttr_backbones.vits.tokens import Grid, Heads

# Their head is a projection to the space of texts; nothing in the model tells it from a classifier.
_PROJECTING = frozenset(
    {
        "eva_giant_patch14_clip_224",
        "eva02_base_patch16_clip_224",
        "eva02_large_patch14_clip_224",
        "eva02_large_patch14_clip_336",
        "eva02_enormous_patch14_clip_224",
        "vit_pe_core_tiny_patch16_384",
        "vit_pe_core_small_patch16_384",
        "vit_pe_core_base_patch16_224",
        "vit_pe_core_large_patch14_336",
        "vit_pe_core_gigantic_patch14_448",
    }
)


class EvaViT(TimmFamily):
    """timm's `Eva`."""

    register_tokens = EvaRegisterTokens
    constant_tokens = EvaConstantTokens

    name = "timm Eva"
    examples = "DINOv3, EVA02, EVA-CLIP, Perception Encoder, ROPE-ViT, Sapiens2"

    def owns(self, vit: Any) -> bool:
        """Whether `vit` is an `Eva`."""
        return isinstance(vit, Eva)

    def check(self, vit: Any) -> None:
        """Raise InputError for blocks that are normed behind their MLP."""
        if any(isinstance(block, EvaBlockPostNorm) for block in vit.blocks):
            raise InputError(f"test-time registers have no place in this model: {POST_NORM}")

    def embed(self, vit: Any, patches: Tensor, table: Tensor | None) -> Tensor:
        """Put the sequence together as `_pos_embed` does, without resampling.

        Raises:
            InputError: the model is training and drops patches, which a map has to have.
        """
        if vit.patch_drop is not None and vit.training:
            raise InputError(
                "model_kwargs has patch_drop_rate above 0, which leaves patches out while the "
                "model is trained, and a map has all of them: leave it out"
            )
        tokens = insert_registers(vit, vit.pos_drop(self.sequence(vit, patches, table)))
        tokens = vit.norm_pre(tokens)
        return tokens

    def rotation(self, vit: Any, grid: Grid) -> Tensor | None:
        """Sine and cosine of RoPE, for each block and head where these differ (mixed RoPE).

        Returns:
            [h * w, 2 * head_dim], or [blocks, heads, h * w, 2 * head_dim].
        """
        if vit.rope is None:
            return None
        table: Tensor = vit.rope.get_embed(shape=grid)
        return table

    def position_tensors(self, vit: Any) -> list[Tensor]:
        """`pos_embed` and the frequencies of RoPE."""
        rope = () if vit.rope is None else (*vit.rope.parameters(), *vit.rope.buffers())
        return [*super().position_tensors(vit), *rope]

    def run_block(
        self, vit: Any, block: int, tokens: Tensor, rotation: Tensor | None, **options: Any
    ) -> Tensor:
        """Run one block, which turns queries and keys."""
        tokens = vit.blocks[block](tokens, rope=_of_block(vit, block, rotation), **options)
        return tokens

    def rotated(self, vit: Any, block: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Turn queries or keys as RoPE does."""
        rotation = _of_block(vit, block, self.rotation(vit, grid))
        attention = self.attention(vit.blocks[block])
        return tokens if rotation is None else turned(attention, tokens, rotation)

    def has_classifier(self, vit: Any) -> bool:
        """Whether the head gives classes; in the CLIPs of this kind it projects."""
        cfg: Mapping[str, Any] = getattr(vit, "pretrained_cfg", None) or {}
        projects = cfg.get("architecture") in _PROJECTING
        other_head = vit.num_classes != cfg.get("num_classes")
        return bool(vit.num_classes > 0 and (other_head or not projects))

    def renamed(self, vit: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename as timm's filter does for DINOv3, EVA, open_clip, PE and Sapiens2.

        Raises:
            InputError: a DINOv3 with biases that `vit` has no place for.
        """
        state = dict(state)
        if "storage_tokens" in state and "blocks.0.attn.q_bias" not in vit.state_dict():
            biases = {key: state.pop(key) for key in list(state) if key.endswith(".qkv.bias")}
            for name, bias in biases.items():
                query, _, value = bias.chunk(3)  # that of the keys is masked in DINOv3
                if query.any() or value.any():
                    raise InputError(
                        f"{name} of the file is not zero, and this architecture has no biases of "
                        "queries and values: give the name of the one with them "
                        "(vit_*_patch16_dinov3_qkvb)"
                    )
        renamed: dict[str, Tensor] = checkpoint_filter_fn(state, vit)
        return renamed

    def attention(self, block: Any) -> Any:
        """The block's `EvaAttention` or `AttentionRope`."""
        attention = getattr(block, "attn", None)
        if not isinstance(attention, EvaAttention | AttentionRope):
            raise InputError(
                f"a {type(block).__name__}, attention {type(attention).__name__}: queries, keys "
                "and values can be read from timm's `EvaAttention` and `AttentionRope` only"
            )
        return attention

    def head_shape(self, block: Any) -> tuple[int, int]:
        """(heads, head_dim) of the softmax: shared heads of keys and values count for each."""
        attention = self.attention(block)
        return int(attention.num_heads), int(attention.head_dim)

    def qkv_widths(self, block: Any) -> tuple[int, int, int]:
        """Channels of queries, keys and values; fewer keys and values where heads are shared."""
        attention = self.attention(block)
        heads = int(attention.num_heads)
        shared = int(getattr(attention, "num_kv_heads", heads))
        query, others = (int(attention.head_dim) * number for number in (heads, shared))
        return query, others, others

    def attention_input(self, block: Any, tokens: Tensor) -> Tensor:
        """`norm1`; nothing where a norm stands behind the attention."""
        return tokens if isinstance(block, EvaBlockPostNorm) else block.norm1(tokens)

    def qkv(self, block: Any, tokens: Tensor) -> Heads:
        """What the linear layers give with their biases, [B, N, heads * head_dim] each."""
        return projected(self.attention(block), tokens)

    def heads(self, block: Any, tokens: Tensor) -> Heads:
        """Queries, keys and values by head, normed: [B, heads, N, head_dim] each."""
        return by_head(self.attention(block), tokens)

    def check_constants(self, block: Any) -> None:
        """Raise InputError unless the block has timm's own attention, and no norm behind it."""
        if isinstance(block, EvaBlockPostNorm):
            raise InputError(f"an EvaBlockPostNorm: {POST_NORM}")
        if type(self.attention(block)) not in (EvaAttention, AttentionRope):
            raise InputError(
                f"a {type(block).__name__} with attn={type(block.attn).__name__}: constant keys "
                "and values need timm's `EvaAttention` or `AttentionRope`. Use registers as tokens "
                "instead (type='test_time', add_test_time_registers)"
            )

    def parts(self, block: Any) -> BlockParts:
        """Those of an `EvaBlock`, which norms before its attention and its MLP."""
        return eva_parts(block)


def _of_block(vit: Any, block: int, rotation: Tensor | None) -> Tensor | None:
    """The part of a table that is of one block."""
    mixed = rotation is not None and getattr(vit, "rope_mixed", False)
    return rotation[block] if mixed and rotation is not None else rotation


EVA = register_family(EvaViT())
