"""The class that timm's `VisionTransformer` takes on while it has test-time registers."""

from __future__ import annotations

from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.register_tokens import (
    RegisterTokens,
    drop_registers,
    forward_with_registers,
    insert_registers,
)

_FORMATS = ("NCHW", "NLC")


class PlainRegisterTokens(RegisterTokens, VisionTransformer):
    """A `VisionTransformer` with test-time registers."""

    num_prefix_tokens: int
    blocks: Any
    patch_embed: Any
    patch_drop: Any

    def count_in_prefix(self, change: int) -> None:
        """Tell `patch_drop` and parts of the blocks."""
        for module in (self.patch_drop, *self.blocks.modules()):
            count = getattr(module, "num_prefix_tokens", None)
            if isinstance(count, int):
                module.num_prefix_tokens = count + change

    def _pos_embed(self, x: Tensor) -> Tensor:
        return insert_registers(self, super()._pos_embed(x))

    def forward_features(self, x: Tensor, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Give the tokens that timm's model gives: [B, P + N, C]."""
        return drop_registers(self, super().forward_features(x, **self.masked(attn_mask, kwargs)))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Any = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
        output_dict: bool = False,
        attn_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Give what timm's model gives, without the test-time registers."""
        if output_fmt not in _FORMATS:
            raise InputError(unknown_name("output_fmt", str(output_fmt), _FORMATS))
        kwargs |= {"norm": norm, "stop_early": stop_early, "intermediates_only": intermediates_only}
        final, parts = forward_with_registers(self, x, indices, **self.masked(attn_mask, kwargs))
        maps = [tokens.patches for tokens in parts]
        if output_fmt == "NCHW":
            grid = tuple(self.patch_embed.dynamic_feat_size((x.shape[2], x.shape[3])))
            maps = [patches.transpose(1, 2).unflatten(2, grid).contiguous() for patches in maps]
        with_prefix = return_prefix_tokens and self.num_prefix_tokens > 0
        prefixes = [tokens.prefix for tokens in parts] if with_prefix else None
        if output_dict:
            found: dict[str, Any] = {"image_intermediates": maps}
            found |= {} if prefixes is None else {"image_intermediates_prefix": prefixes}
            return found if final is None else {**found, "image_features": final}
        taken: Any = maps if prefixes is None else list(zip(maps, prefixes, strict=True))
        return taken if intermediates_only else (final, taken)
