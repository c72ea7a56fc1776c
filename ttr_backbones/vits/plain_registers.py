"""Mixin of timm's `VisionTransformer` while it has test-time registers."""

from __future__ import annotations

from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ttr_backbones.vits.register_tokens import insert_registers
from ttr_backbones.vits.timm_registers import TimmRegisterTokens


class PlainRegisterTokens(TimmRegisterTokens, VisionTransformer):
    """A `VisionTransformer` with test-time registers."""

    patch_drop: Any

    def count_in_prefix(self, change: int) -> None:
        """Tell `patch_drop` and parts of the blocks."""
        super().count_in_prefix(change)
        if hasattr(self.patch_drop, "num_prefix_tokens"):
            self.patch_drop.num_prefix_tokens += change

    def _pos_embed(self, x: Tensor) -> Tensor:
        return insert_registers(self, super()._pos_embed(x))

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
        kwargs |= {"norm": norm, "stop_early": stop_early, "intermediates_only": intermediates_only}
        final, maps, prefixes = self.taken(x, indices, output_fmt, attn_mask, **kwargs)
        prefixes = prefixes if return_prefix_tokens else None
        if output_dict:
            found: dict[str, Any] = {"image_intermediates": maps}
            found |= {} if prefixes is None else {"image_intermediates_prefix": prefixes}
            return found if final is None else {**found, "image_features": final}
        taken: Any = maps if prefixes is None else list(zip(maps, prefixes, strict=True))
        return taken if intermediates_only else (final, taken)
