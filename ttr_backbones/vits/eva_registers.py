"""Mixin of timm's `Eva` while it has test-time registers."""

from __future__ import annotations

from typing import Any

from timm.models.eva import Eva
from torch import Tensor

from ttr_backbones.vits.register_tokens import insert_registers
from ttr_backbones.vits.timm_registers import TimmRegisterTokens


class EvaRegisterTokens(TimmRegisterTokens, Eva):
    """An `Eva` with test-time registers, which RoPE does not turn.

    Attention turns the tokens behind `attn.num_prefix_tokens`, which counts them here; the table of
    RoPE is one of the patches alone.
    """

    def _pos_embed(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        tokens, rotation = super()._pos_embed(x)
        return insert_registers(self, tokens), rotation

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Any = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
        attn_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Give what timm's model gives, without the test-time registers."""
        kwargs |= {"norm": norm, "stop_early": stop_early, "intermediates_only": intermediates_only}
        final, maps, prefixes = self.taken(x, indices, output_fmt, attn_mask, **kwargs)
        taken: Any = maps
        if return_prefix_tokens and prefixes is not None:
            taken = list(zip(maps, prefixes, strict=True))
        return taken if intermediates_only else (final, taken)
