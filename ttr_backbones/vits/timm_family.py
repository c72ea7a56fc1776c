"""What timm's `VisionTransformer` and `Eva` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.architecture_facts import ArchitectureFacts
from ttr_backbones.vits.family import Family
from ttr_backbones.vits.image_transform import (
    ImageTransform,
    inner_images,
    outer_parts,
    outer_tokens,
    refuse_mask,
)
from ttr_backbones.vits.register_tokens import drop_registers, num_test_time_registers
from ttr_backbones.vits.timm_registers import TimmRegisterTokens
from ttr_backbones.vits.tokens import Grid, TokenLayout, Tokens

POST_NORM = (
    "a norm stands behind the MLP (as in EVA02-E), so that a neuron that is cleared rescales all "
    "others of its token, and moving it is not what the paper's edit is"
)


class TimmFamily(Family):
    """A ViT of timm: `patch_embed`, a prefix, `blocks`, `norm` and `forward_head`."""

    def facts(self, vit: Any) -> ArchitectureFacts:
        """Read from the patch embedding and the `pretrained_cfg`."""
        embedding, cfg = vit.patch_embed, getattr(vit, "pretrained_cfg", None) or {}
        size = embedding.img_size or cfg.get("input_size", (3, 224, 224))[1:]
        half = (0.5, 0.5, 0.5)
        return ArchitectureFacts(
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
        num_cls = int(vit.cls_token is not None)
        num_trained = self.num_prefix(vit) - num_cls
        return TokenLayout(num_cls, num_trained, num_test_time_registers(vit), grid)

    def patches(self, vit: Any, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> [B, h, w, C]."""
        embedding = vit.patch_embed
        if torch.compiler.is_compiling():
            # Its check of the size puts it into a message, and so every size is compiled anew.
            return embedding.norm(embedding.proj(images).permute(0, 2, 3, 1))
        patches: Tensor = embedding(images)
        # A model for one size alone lays them out flat.
        return patches if patches.ndim == 4 else patches.unflatten(1, embedding.grid_size)

    def position_embedding(self, vit: Any) -> Tensor | None:
        """`pos_embed`, for the prefix too unless `no_embed_class`."""
        table: Tensor | None = vit.pos_embed
        return table

    def sequence(self, vit: Any, patches: Tensor, table: Tensor | None) -> Tensor:
        """Put the model's own prefix before the patches, and add the positions.

        Args:
            vit: the model.
            patches: [B, h, w, C].
            table: the position embedding at their grid, see `embed`.

        Returns:
            [B, P + h * w, C].
        """
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
        return tokens

    def final_norm(self, vit: Any, tokens: Tensor) -> Tensor:
        """`norm`."""
        tokens = vit.norm(tokens)
        return tokens

    def pool(self, vit: Any, tokens: Tensor) -> Tensor | None:
        """`forward_head`, without a classifier."""
        pooled: Tensor = vit.forward_head(tokens, pre_logits=self.has_classifier(vit))
        return pooled if pooled.ndim == 2 else None  # global_pool='' gives all tokens

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
        inner: Any = super(TimmRegisterTokens, vit) if isinstance(vit, TimmRegisterTokens) else vit
        has_prefix = vit.num_prefix_tokens > 0
        if isinstance(vit, ImageTransform):
            refuse_mask(kwargs.pop("attn_mask", None))
        out = inner.forward_intermediates(
            inner_images(vit, images),
            blocks,
            output_fmt="NLC",
            return_prefix_tokens=has_prefix,
            **kwargs,
        )
        final, taken = (None, out) if kwargs.get("intermediates_only") else out
        num = num_test_time_registers(vit)
        pairs = taken if has_prefix else [(rest, rest[:, :0]) for rest in taken]
        parts = [Tokens(prefix, rest[:, :num], rest[:, num:]) for rest, prefix in pairs]
        final = None if final is None else outer_tokens(vit, drop_registers(vit, final))
        return final, [outer_parts(vit, part) for part in parts]

    def blocks(self, vit: Any) -> Sequence[Any]:
        """The transformer blocks, in order."""
        blocks: Sequence[Any] = vit.blocks
        return blocks

    def patch_embedding(self, vit: Any) -> nn.Module:
        """The patch embedding of a model for every size, which gives [B, h, w, C]."""
        module: nn.Module = vit.patch_embed
        return module

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

    def scale(self, block: Any) -> float:
        """Factor on the product of a query and a key."""
        return float(self.attention(block).scale)
