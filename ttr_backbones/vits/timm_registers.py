"""Mixin of timm's ViTs while they have test-time registers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.register_tokens import (
    RegisterTokens,
    drop_registers,
    forward_with_registers,
)

_FORMATS = ("NCHW", "NLC")


class TimmRegisterTokens(RegisterTokens):
    """A ViT of timm with test-time registers; subclasses put them into its sequence."""

    transforms_images = True
    num_prefix_tokens: int
    blocks: Any
    patch_embed: Any

    def count_in_prefix(self, change: int) -> None:
        """Tell the parts of the blocks that count the prefix."""
        for module in self.blocks.modules():
            count = getattr(module, "num_prefix_tokens", None)
            if isinstance(count, int):
                module.num_prefix_tokens = count + change

    def forward_features(self, x: Tensor, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Give the tokens that timm's model gives: [B, P + N, C]."""
        inner: Any = super()
        return drop_registers(self, inner.forward_features(x, **self.masked(attn_mask, kwargs)))

    def taken(
        self,
        x: Tensor,
        indices: Any,
        output_fmt: str,
        attn_mask: Tensor | None,
        **kwargs: Any,
    ) -> tuple[Tensor | None, list[Tensor], list[Tensor] | None]:
        """Run timm's `forward_intermediates`, and leave the test-time registers out.

        Returns:
            The final tokens, None with `intermediates_only`; the patches of each block as
            `output_fmt` says; and its prefix, None for a model without.
        """
        if output_fmt not in _FORMATS:
            raise InputError(unknown_name("output_fmt", str(output_fmt), _FORMATS))
        final, parts = forward_with_registers(self, x, indices, **self.masked(attn_mask, kwargs))
        maps = [tokens.patches for tokens in parts]
        if output_fmt == "NCHW":
            grid = tuple(self.patch_embed.dynamic_feat_size((x.shape[2], x.shape[3])))
            maps = [patches.transpose(1, 2).unflatten(2, grid).contiguous() for patches in maps]
        prefixes = [tokens.prefix for tokens in parts] if self.num_prefix_tokens else None
        return final, maps, prefixes
