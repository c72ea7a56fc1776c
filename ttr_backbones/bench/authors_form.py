"""Test-time registers as the authors' released code applies them, to compare with.

Written from the facts of how it works (a forward hook on `mlp.act` of every block with register
neurons, one image at a time, the register last in the sequence, one signed value per block), not
from the code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from timm.layers import Mlp
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ttr_backbones.errors import InputError


class AuthorsForm(nn.Module):
    """A timm ViT with one test-time register that takes one image after another.

    Equal to `add_test_time_registers(vit, layers, peak="layer", keep_cls=True)`.

    Args:
        vit: a timm ViT with ordinary MLPs, without test-time registers; hooks stay on it.
        layers: register neurons, {block: [unit, ...]}.

    Raises:
        InputError: a gated MLP, of which `mlp.act` is only the gate.
    """

    def __init__(self, vit: VisionTransformer, layers: Mapping[int, Sequence[int]]) -> None:
        super().__init__()
        self.vit = vit
        for block, units in layers.items():
            mlp = vit.blocks[block].mlp
            if not isinstance(mlp, Mlp):
                raise InputError(
                    f"block {block} has a {type(mlp).__name__}: the authors' hook on mlp.act "
                    "edits ordinary MLPs only"
                )
            mlp.act.register_forward_hook(_hook(list(units)))

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> normed patch tokens as maps [B, C, h, w]."""
        return torch.cat([self._edited(image) for image in images.split(1)])

    def _edited(self, image: Tensor) -> Tensor:
        vit: Any = self.vit
        patches = vit.patch_embed(image)
        grid = patches.shape[1:3]
        tokens = vit._pos_embed(patches)  # noqa: SLF001 (timm has no public name for it)
        tokens = torch.cat([tokens, tokens.new_zeros(1, 1, tokens.shape[2])], dim=1)
        tokens = vit.blocks(vit.norm_pre(tokens))
        patches = vit.norm(tokens)[:, vit.num_prefix_tokens : -1]
        return patches.transpose(1, 2).unflatten(2, grid)


def _hook(units: list[int]) -> Callable[[Any, Any, Tensor], Tensor]:
    def edit(_: Any, __: Any, hidden: Tensor) -> Tensor:
        values = hidden[0][:, units]  # [N, K]
        high, low = values.max().item(), values.min().item()
        hidden[0, 1:-1, units] = 0.0
        hidden[0, -1, units] = high if high >= -low else low
        return hidden

    return edit
