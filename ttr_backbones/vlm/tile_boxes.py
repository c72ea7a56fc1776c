"""Where the pictures that a tower is given lie in a photograph.

Processors resize, crop, pad, cut into tiles and add thumbnails, each in its own way. None of that
is restated here: the processor is given a picture of the photograph's size whose red is x and whose
green is y, and the colours of a tile say where it is from. Blue is full, so black is padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.vlm.load import VLM

_EDGE = 2  # pixels beside padding that resampling has mixed with it
_FAR = 0.02  # of the photograph's side: 8 bits give a two-hundredth at worst


def tile_boxes(
    vlm: VLM,
    images: Sequence[Image.Image],
    texts: Sequence[str],
    process: Callable[[VLM, Sequence[Image.Image], Sequence[str]], dict[str, Any]],
    tiles_of: Callable[[dict[str, Any]], Tensor],
) -> Tensor:
    """Find the tiles of some photographs.

    Args:
        vlm: model and processor.
        images: the photographs; only their sizes matter.
        texts: their prompts.
        process: makes a batch of images and prompts.
        tiles_of: takes the tiles [T, 3, H, W] out of it.

    Returns:
        x1, y1, x2, y2 of every tile as shares of the photograph's width and height, float64 [T, 4];
        zeros for one that holds padding alone.

    Raises:
        InputError: the processor does more than resize, crop, pad and cut.
    """
    tiles = tiles_of(process(vlm, [_coordinates(image.size) for image in images], texts)).double()
    mean, std = _statistics(vlm.processor.image_processor)
    colours = tiles * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
    return torch.stack([_box(tile) for tile in colours])


def _coordinates(size: tuple[int, int]) -> Image.Image:
    """The picture of coordinates; each pixel has those of its middle."""
    width, height = size
    x = ((np.arange(width) + 0.5) / width * 255).round()
    y = ((np.arange(height) + 0.5) / height * 255).round()
    channels = np.broadcast_arrays(x[None, :], y[:, None], np.float64(255))
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def _statistics(processor: Any) -> tuple[list[float], list[float]]:
    """Mean and std that take the tiles back to 0..1."""
    scale = 1.0 if processor.do_rescale else 255.0
    if not processor.do_normalize:
        return [0.0] * 3, [1 / scale] * 3
    mean, std = processor.image_mean, processor.image_std
    return [m / scale for m in mean], [s / scale for s in std]


def _box(colours: Tensor) -> Tensor:
    """A tile [3, H, W] of coordinates -> x1, y1, x2, y2."""
    inside = colours[2] > 0.99
    if not inside.any():
        return torch.zeros(4, dtype=torch.float64)
    x1, x2 = _line(colours[0], inside)
    y1, y2 = _line(colours[1].T, inside.T)
    return torch.stack([x1, y1, x2, y2])


def _line(values: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Ends of the straight line through coordinates [H, W] that grow from column to column."""
    counts = inside.sum(dim=0)
    means = (values * inside).sum(dim=0) / counts.clamp(min=1)
    columns = counts.nonzero().flatten()
    if len(columns) > 4 * _EDGE:
        columns = columns[_EDGE:-_EDGE]
    at = columns.double() + 0.5
    slope = ((at - at.mean()) * (means[columns] - means[columns].mean())).sum()
    slope = slope / (at - at.mean()).square().sum().clamp(min=1e-12)
    start = means[columns].mean() - slope * at.mean()
    if (start + slope * at - means[columns]).abs().max() > _FAR or slope <= 0:
        raise InputError(
            "the image processor does more than resize, crop, pad and cut images, so where its "
            "patches lie in a photograph cannot be known: switch that off in its config"
        )
    return start, start + slope * values.shape[1]
