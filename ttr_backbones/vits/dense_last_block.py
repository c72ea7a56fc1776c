"""The last block of a CLIP as dense tasks use it: attention alone, without residual and MLP.

Value-only (MaskCLIP, arXiv 2112.01071): every token keeps its own value. NACLIP (arXiv 2404.08181),
reduced: keys attend to keys, and patches to patches near them.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, Literal

import torch
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import Mixin, mix
from ttr_backbones.vits.family import family_of, naming_block

LastBlock = Literal["own", "value", "naclip"]
LAST_BLOCKS: tuple[LastBlock, ...] = ("own", "value", "naclip")
WINDOW_STD = 5.0  # of NACLIP's Gaussian window, in patches


def set_last_block(vit: nn.Module, kind: LastBlock) -> None:
    """Let the last block of `vit` give out its attention alone, until `unmix_all`.

    Args:
        vit: the model; changed in place.
        kind: "value": projection(value); "naclip": projection(softmax(k k^T scale + window) value),
            for square grids; "own": nothing is changed.

    Raises:
        InputError: no such kind, or a block without timm's standard attention or with LayerScale.
    """
    if kind not in LAST_BLOCKS:
        raise InputError(f"last_block={kind!r}: expected {', '.join(map(repr, LAST_BLOCKS))}")
    if kind == "own":
        return
    family = family_of(vit)
    index = len(family.blocks(vit)) - 1
    block: Any = family.blocks(vit)[index]
    with naming_block(index):
        family.check_constants(block)
    if not isinstance(getattr(block, "ls1", nn.Identity()), nn.Identity):
        raise InputError(
            f"last_block={kind!r} is for CLIP, whose blocks have no LayerScale, and block {index} "
            "has one: use last_block='own'"
        )
    attention, num_registers = family.attention(block), family.layout(vit).num_registers
    if not isinstance(attention, Attention):
        raise InputError(
            f"last_block={kind!r} is for timm's VisionTransformer, and block {index} has "
            f"{type(attention).__name__}: use last_block='own'"
        )
    mix(block, DenseLastBlock)
    block.dense = {
        "kind": kind,
        "first_patch": family.num_prefix(vit) + num_registers,
        "scale": family.scale(block),
        "heads": int(attention.num_heads),
    }


class DenseLastBlock(Mixin):
    """timm's block that gives out its attention alone."""

    dense: dict[str, Any]
    norm1: nn.Module
    attn: Any

    def restore(self) -> None:
        """Be a whole block again."""
        del self.dense

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[B, N, C] -> [B, N, C].

        Raises:
            InputError: a mask.
        """
        if any(one is not None and one is not False for one in (*args, *kwargs.values())):
            raise InputError("a last block that is attention alone takes no mask")
        attention = self.attn
        qkv = attention.qkv(self.norm1(x)).unflatten(2, (3, self.dense["heads"], -1))
        _, key, value = qkv.permute(2, 0, 3, 1, 4)  # [B, heads, N, d] each
        if self.dense["kind"] == "naclip":
            key = attention.k_norm(key)
            scores = key @ key.transpose(-2, -1) * self.dense["scale"]
            value = (scores + self._window(scores)).softmax(dim=-1) @ value
        output: Tensor = attention.proj(attention.norm(value.transpose(1, 2).flatten(2)))
        return output

    def _window(self, scores: Tensor) -> Tensor:
        """What is added to the scores [B, heads, N, N]: 0 for tokens that are no patches."""
        first = self.dense["first_patch"]
        return torch.nn.functional.pad(
            gaussian_window(scores.shape[-1] - first, scores), (first, 0, first, 0)
        )


def gaussian_window(num_patches: int, like: Tensor) -> Tensor:
    """exp(-d^2 / (2 std^2)) of the distance d of each two patches of a square grid, [N, N].

    Raises:
        InputError: the grid is no square.
    """
    side = isqrt(num_patches)
    if side * side != num_patches:
        raise InputError(
            f"last_block='naclip' knows square grids only, and there are {num_patches} patches: "
            "crop the images to squares"
        )
    axis = torch.arange(side, device=like.device, dtype=like.dtype)
    points = torch.cartesian_prod(axis, axis)
    squares = (points[:, None] - points).square().sum(dim=2)
    return (-squares / (2 * WINDOW_STD**2)).exp()
