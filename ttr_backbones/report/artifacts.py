"""What test-time registers do to a real model: norms and attention before and after, as a picture.

Norms are L2 norms of raw block outputs. The block shown is the one whose outliers stand out most
in the model without registers; both models are measured there, with one threshold (mean + 3 std of
the norms before, arXiv 2506.08010 A.4) and one colour scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ttr_backbones.backbones import create_vit
from ttr_backbones.registers import (
    RegisterNeurons,
    add_test_time_registers,
    mean_plus_std,
    token_norms,
)
from ttr_backbones.registers.images import image_batches
from ttr_backbones.registers.photos import photo_files
from ttr_backbones.report.attention import cls_attention


@dataclass(frozen=True)
class Measured:
    """A model on B images, on an h x w grid of patches, L blocks.

    Args:
        norms: patch norms after every block, [L, B, h, w].
        attention: CLS attention of the last block, mean over the heads, [B, h, w]; None without
            a CLS token.
    """

    norms: Tensor
    attention: Tensor | None


@dataclass(frozen=True)
class Comparison:
    """Both models, and what sums the difference up."""

    before: Measured
    after: Measured
    block: int
    threshold: float

    def outlier_fraction(self, measured: Measured) -> float:
        """Share of all patches whose norm at `block` is above the threshold."""
        return (measured.norms[self.block] > self.threshold).float().mean().item()

    def largest_norm(self, measured: Measured) -> float:
        """Largest patch norm at `block`."""
        return measured.norms[self.block].max().item()


@torch.no_grad()
def measure(vit: VisionTransformer, images: Tensor) -> Measured:
    """Norms of every block and CLS attention of the last one, for images [B, 3, H, W]."""
    outputs = vit.forward_intermediates(
        images, output_fmt="NLC", intermediates_only=True, return_prefix_tokens=True
    )
    if not vit.num_prefix_tokens:
        outputs = [(patches, patches[:, :0]) for patches in outputs]
    grid = vit.patch_embed.dynamic_feat_size(images.shape[2:])
    norms = torch.stack([token_norms(patches).unflatten(1, grid) for patches, _ in outputs])
    if not vit.has_class_token:
        return Measured(norms, None)
    patches, prefix = outputs[-2]
    attention = cls_attention(
        vit.blocks[-1], torch.cat([prefix, patches], dim=1), first_patch=prefix.shape[1]
    )
    return Measured(norms, attention.mean(dim=1).unflatten(1, grid))


def compare(vit: VisionTransformer, neurons: RegisterNeurons, images: Tensor) -> Comparison:
    """Measure `vit` without and with one test-time register; it keeps the register."""
    before = _measure_in_turn(vit, images)
    after = _measure_in_turn(add_test_time_registers(vit, neurons), images)
    flat = before.norms.flatten(1)
    block = int((flat.amax(dim=1) / flat.median(dim=1).values).argmax())
    return Comparison(before, after, block, mean_plus_std(flat[block]).item())


def _measure_in_turn(vit: VisionTransformer, images: Tensor) -> Measured:
    """One image at a time: the outputs of all blocks of one image are what is held at once."""
    parts = [measure(vit, image.unsqueeze(0)) for image in images]
    attention = [part.attention for part in parts if part.attention is not None]
    return Measured(
        torch.cat([part.norms for part in parts], dim=1),
        torch.cat(attention) if attention else None,
    )


def compare_artifacts(
    model: str,
    images: str | Path,
    neurons: str | Path | None,
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    size: int | None = None,
    num_images: int = 6,
    device: str | None = None,
) -> tuple[Comparison, Path]:
    """Compare a model with and without a test-time register on photographs.

    Args:
        model: tagged timm name.
        images: folder of photographs; the first `num_images` are used, their central squares.
        neurons: JSON list; by default the list that ships for `model`.
        out: folder for the picture.
        checkpoint: local weight file; by default the weights come from the hub.
        size: side of the input in pixels; by default the one that the model was trained at.
        num_images: how many photographs.
        device: torch device; by default the GPU if there is one.

    Returns:
        What was measured, and the path of the picture.
    """
    from ttr_backbones.report.pictures import draw_comparison

    files = photo_files(images)[:num_images]
    chosen = RegisterNeurons.load(neurons) if neurons else RegisterNeurons.bundled(model)
    vit = create_vit(model, pretrained=checkpoint is None, checkpoint=checkpoint)
    vit.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    squares = torch.cat(list(image_batches(files, vit, size=size)))
    comparison = compare(vit, chosen, squares)
    path = Path(out) / "artifacts.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"{model}, {squares.shape[-1]} px"
    draw_comparison(comparison, _as_shown(squares, vit.pretrained_cfg), path, title=title)
    return comparison, path


def _as_shown(images: Tensor, cfg: dict[str, Any]) -> np.ndarray:
    """Normalised images [B, 3, H, W] -> RGB uint8 [B, H, W, 3]."""
    mean, std = (images.new_tensor(cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    pixels = ((images * std + mean) * 255).round().clamp(0, 255)
    return pixels.permute(0, 2, 3, 1).byte().cpu().numpy()
