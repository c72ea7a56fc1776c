"""A small picture per model: a photograph and its norm map, without and with the register."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor, nn

from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.neuron_search.tune import TunedNeurons
from ttr_backbones.registers import add_test_time_registers, remove_test_time_registers
from ttr_backbones.report.norm_picture import draw_norm_maps
from ttr_backbones.report.show import as_shown
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.register_tokens import forward_with_registers


def thumbnail(
    vit: nn.Module, images: Tensor, block: int, found: TunedNeurons | None = None
) -> bytes:
    """Draw the patch norms after a block.

    Args:
        vit: without test-time registers; left so.
        images: normalised, [B, 3, H, W].
        block: after which norms are taken; negative ones count back.
        found: moved for a second map; None for the model alone.

    Returns:
        A PNG.
    """
    maps = {"without": list(_norms(vit, images, block))}
    if found is not None:
        add_test_time_registers(vit, found, found.num)
        try:
            maps["with register"] = list(_norms(vit, images, block))
        finally:
            remove_test_time_registers(vit)
    shown = list(as_shown(images, family_of(vit).facts(vit)))
    index = block % len(family_of(vit).blocks(vit))
    picture = draw_norm_maps(shown, maps, label=f"patch norm after block {index}")
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "PNG")
    return written.getvalue()


@torch.no_grad()
def _norms(vit: nn.Module, images: Tensor, block: int) -> Tensor:
    """Patch norms after a block, [B, h, w]."""
    family = family_of(vit)
    _, (tokens,) = forward_with_registers(
        vit, images, [block], stop_early=True, intermediates_only=True
    )
    norms = token_norms(tokens.patches)
    grid = family.facts(vit).grid_of((images.shape[2], images.shape[3]))
    return norms.unflatten(1, grid).float().cpu()
