"""timm's `VisionTransformer`: DINOv2, CLIP, DeiT, augreg and most others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.models.vision_transformer import (
    Attention,
    ResPostBlock,
    VisionTransformer,
    checkpoint_filter_fn,
)
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.facts import Facts
from ttr_backbones.vits.family import Family, Heads, register_family
from ttr_backbones.vits.plain_registers import PlainRegisterTokens
from ttr_backbones.vits.register_tokens import (
    drop_registers,
    insert_registers,
    num_test_time_registers,
)
from ttr_backbones.vits.tokens import Grid, TokenLayout, Tokens


class PlainViT(Family):
    """timm's `VisionTransformer`."""

    register_tokens = PlainRegisterTokens

    name = "timm VisionTransformer"
    examples = "DINOv2, CLIP, DeiT, augreg and other plain ViTs"

    def owns(self, vit: Any) -> bool:
        """Whether `vit` is a `VisionTransformer`."""
        return isinstance(vit, VisionTransformer)

    def check(self, vit: Any) -> None:
        """Raise InputError for a model with a sequence of its own (a distillation token)."""
        if type(vit)._pos_embed is not VisionTransformer._pos_embed:  # noqa: SLF001 (only compared)
            raise InputError(
                f"{type(vit).__name__} puts its sequence together in a way of its own (a "
                "distillation token), where a register has no place: use the model without "
                "distillation"
            )

    def facts(self, vit: Any) -> Facts:
        """Read from the patch embedding and the `pretrained_cfg`."""
        embedding, cfg = vit.patch_embed, getattr(vit, "pretrained_cfg", None) or {}
        size = embedding.img_size or cfg.get("input_size", (3, 224, 224))[1:]
        half = (0.5, 0.5, 0.5)
        return Facts(
            channels=int(vit.embed_dim),
            patch_size=tuple(embedding.patch_size),
            image_size=tuple(size),
            grid=tuple(embedding.grid_size),
            only_this_size=bool(embedding.strict_img_size),
            pads=bool(embedding.dynamic_img_pad),
            mean=tuple(cfg.get("mean", half)),
            std=tuple(cfg.get("std", half)),
            norms_tokens=not isinstance(vit.norm, nn.Identity),
            prefix_has_positions=vit.pos_embed is not None and not vit.no_embed_class,
        )

    def kernel(self, vit: Any) -> Tensor:
        """The weight of `patch_embed.proj`, [C, 3, P, P]."""
        weight: Tensor = vit.patch_embed.proj.weight
        return weight

    def num_prefix(self, vit: Any) -> int:
        """`num_prefix_tokens`."""
        return int(vit.num_prefix_tokens)

    def layout(self, vit: Any, grid: Grid | None = None) -> TokenLayout:
        """[CLS, trained registers, test-time registers, patches]."""
        num_cls = int(vit.has_class_token)
        num_trained = self.num_prefix(vit) - num_cls
        return TokenLayout(num_cls, num_trained, num_test_time_registers(vit), grid)

    def patches(self, vit: Any, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> [B, h, w, C]."""
        embedding = vit.patch_embed
        if torch.compiler.is_compiling():
            # Its check of the size puts it into a message, and so every size is compiled anew.
            return embedding.norm(embedding.proj(images).permute(0, 2, 3, 1))
        patches: Tensor = embedding(images)
        return patches

    def position_embedding(self, vit: Any) -> Tensor | None:
        """`pos_embed`, for the prefix too unless `no_embed_class`."""
        table: Tensor | None = vit.pos_embed
        return table

    def embed(self, vit: Any, patches: Tensor, table: Tensor | None) -> Tensor:
        """Put the sequence together as `_pos_embed` does, without resampling."""
        tokens = patches.flatten(1, 2)
        prefix = [
            token.expand(patches.shape[0], -1, -1)
            for token in (vit.cls_token, vit.reg_token)
            if token is not None
        ]
        if table is not None and vit.no_embed_class:
            tokens = tokens + table
        if prefix:
            tokens = torch.cat([*prefix, tokens], dim=1)
        if table is not None and not vit.no_embed_class:
            tokens = tokens + table
        tokens = tokens if table is None else vit.pos_drop(tokens)
        tokens = vit.norm_pre(vit.patch_drop(insert_registers(vit, tokens)))
        return tokens

    def run_block(self, vit: Any, block: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Run one block, which knows no grid."""
        del grid
        tokens = vit.blocks[block](tokens)
        return tokens

    def final_norm(self, vit: Any, tokens: Tensor) -> Tensor:
        """`norm`."""
        tokens = vit.norm(tokens)
        return tokens

    def pool(self, vit: Any, tokens: Tensor) -> Tensor | None:
        """`forward_head`, without a classifier."""
        pooled: Tensor = vit.forward_head(tokens, pre_logits=self.has_classifier(vit))
        return pooled if pooled.ndim == 2 else None  # global_pool='' gives all tokens

    def has_classifier(self, vit: Any) -> bool:
        """Whether the head gives classes; in a CLIP without fine-tuning it is the projection.

        A CLIP has a norm before its blocks, and timm gives a projection, which has no bias, one of
        zeros.
        """
        clip = not isinstance(vit.norm_pre, nn.Identity)
        bias = getattr(vit.head, "bias", None)
        return bool(vit.num_classes > 0 and not (clip and (bias is None or not bias.any())))

    def final_tokens(self, vit: Any, images: Tensor) -> Tensor:
        """`forward_features`."""
        tokens: Tensor = vit.forward_features(images)
        return tokens

    def classes(self, vit: Any, tokens: Tensor) -> Tensor:
        """`forward_head`."""
        scores: Tensor = vit.forward_head(tokens)
        return scores

    def run(
        self, vit: Any, images: Tensor, blocks: Any, **kwargs: Any
    ) -> tuple[Tensor | None, list[Tokens]]:
        """Run timm's `forward_intermediates`, and keep the registers."""
        inner: Any = (
            super(PlainRegisterTokens, vit) if isinstance(vit, PlainRegisterTokens) else vit
        )
        out = inner.forward_intermediates(
            images, blocks, output_fmt="NLC", return_prefix_tokens=True, **kwargs
        )
        final, taken = (None, out) if kwargs.get("intermediates_only") else out
        num = num_test_time_registers(vit)
        pairs = taken if vit.num_prefix_tokens else [(rest, rest[:, :0]) for rest in taken]
        parts = [Tokens(prefix, rest[:, :num], rest[:, num:]) for rest, prefix in pairs]
        return None if final is None else drop_registers(vit, final), parts

    def renamed(self, vit: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename as timm's filter does for DINOv2, CLIP, DeiT-III and others."""
        # adapt_layer_scale renames DeiT-III's gamma_1 and touches no other family.
        renamed: dict[str, Tensor] = checkpoint_filter_fn(dict(state), vit, adapt_layer_scale=True)
        return renamed

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
        if not hasattr(getattr(mlp, "fc2", None), "in_features"):
            raise InputError(
                f"a {type(block).__name__} without timm's `mlp.fc2`: test-time "
                "registers need blocks with one standard MLP (Mlp, GluMlp, SwiGLU)"
            )
        return mlp

    def second_linear(self, block: Any) -> Any:
        """The MLP's `fc2`."""
        return self.mlp(block).fc2

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

    def scale(self, block: Any) -> float:
        """Factor on the product of a query and a key."""
        return float(self.attention(block).scale)


PLAIN = register_family(PlainViT())
