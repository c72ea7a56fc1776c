"""PAMR: scores are averaged with those of pixels of like colour nearby (arXiv 2005.08104)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_OFFSETS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
_QUERIES = 16  # at once, so that memory does not grow with their number
_SHARPNESS = 0.1  # of the released code: a tenth of the local standard deviation


def pixel_affinity(images: Tensor, dilations: Sequence[int]) -> Tensor:
    """How much each pixel takes from each of its neighbours.

    Args:
        images: [B, 3, H, W].
        dilations: distances of the eight neighbours.

    Returns:
        [B, 8 * dilations, H, W], which sums to 1: the softmax of -|difference| / (std / 10), mean
        over the channels; std is that of the pixel's neighbourhood, with the pixel itself once per
        dilation. Beyond the border lies its last pixel again.
    """
    num = 9 * len(dilations)
    total = torch.zeros_like(images)
    for dilation in dilations:
        for shifted in _shifted(images, dilation, _OFFSETS):
            total += shifted
    mean, squares = total / num, torch.zeros_like(images)
    for dilation in dilations:
        for shifted in _shifted(images, dilation, _OFFSETS):
            squares += (shifted - mean).square()
    std = (squares / (num - 1)).sqrt()
    closeness = [
        -((shifted - images).abs() / (_SHARPNESS * std + 1e-8)).mean(dim=1)
        for dilation in dilations
        for shifted in _neighbours(images, dilation)
    ]
    return torch.stack(closeness, dim=1).softmax(dim=1)


def pamr(
    images: Tensor, scores: Tensor, *, steps: int = 10, dilations: Sequence[int] = (8, 16)
) -> Tensor:
    """Refine scores [B, Q, H, W] by the colours of images [B, 3, H, W] of the same size."""
    weights = pixel_affinity(images, dilations)
    refined = []
    for part in scores.split(_QUERIES, dim=1):
        for _ in range(steps):
            new, index = torch.zeros_like(part), 0
            for dilation in dilations:
                for shifted in _neighbours(part, dilation):
                    new.addcmul_(shifted, weights[:, index, None].to(part.dtype))
                    index += 1
            part = new
        refined.append(part)
    return torch.cat(refined, dim=1)


def _neighbours(maps: Tensor, dilation: int) -> Iterator[Tensor]:
    return _shifted(maps, dilation, [offset for offset in _OFFSETS if offset != (0, 0)])


def _shifted(maps: Tensor, dilation: int, offsets: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
    """Yield what lies at each offset of every pixel, [B, C, H, W]."""
    H, W = maps.shape[2:]
    padded = F.pad(maps, (dilation,) * 4, mode="replicate")
    for y, x in offsets:
        top, left = dilation * (1 + y), dilation * (1 + x)
        yield padded[:, :, top : top + H, left : left + W]
