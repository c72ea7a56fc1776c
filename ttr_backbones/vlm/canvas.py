"""Maps of tiles, laid over the photograph that they are from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ttr_backbones.vits.tokens import Grid

_CELLS = 8  # per patch of the finest tile: a patch that lies between cells is divided exactly
_LONGEST = 256


def canvas_size(boxes: Tensor, grid: Grid) -> Grid:
    """Rows and columns of a canvas that shows the finest tile.

    Args:
        boxes: of the tiles, shares of the photograph, [T, 4].
        grid: patches (h, w) of a tile.
    """
    sides = torch.stack([boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]], dim=1)
    finest = sides[(sides > 0).all(dim=1)].amin(dim=0).tolist()
    cells = [n / side * _CELLS for n, side in zip(grid, finest, strict=True)]
    shrink = min(1.0, _LONGEST / max(cells))
    rows, columns = (max(1, math.ceil(shrink * n)) for n in cells)
    return rows, columns


def laid_over(maps: Tensor, boxes: Tensor, size: Grid) -> Tensor:
    """Add the maps of all tiles up over the photograph; what lies in padding is lost.

    Args:
        maps: what each patch gets, [..., T, h, w].
        boxes: of the tiles, shares of the photograph, [T, 4].
        size: rows and columns of the canvas.

    Returns:
        What each cell gets, [..., rows, columns]: a patch is divided by the area it has in common
        with each cell, so the sum stays.
    """
    rows, columns = (
        torch.stack([_shares(box[low], box[low + 2], patches, cells) for box in boxes.double()])
        for low, patches, cells in ((1, maps.shape[-2], size[0]), (0, maps.shape[-1], size[1]))
    )
    total: Tensor = torch.einsum("...thw,tyh,txw->...yx", maps.double(), rows, columns)
    return total.to(maps.dtype)


def _shares(start: Tensor, end: Tensor, patches: int, cells: int) -> Tensor:
    """Share of each patch of a line from `start` to `end` that each cell of 0..1 holds, [c, p]."""
    if not end > start:
        return torch.zeros(cells, patches, dtype=torch.float64)
    edges = start + (end - start) * torch.arange(patches + 1, dtype=torch.float64) / patches
    lines = torch.arange(cells + 1, dtype=torch.float64) / cells
    low = torch.maximum(edges[None, :-1], lines[:-1, None])
    high = torch.minimum(edges[None, 1:], lines[1:, None])
    return (high - low).clamp(min=0) / (edges[1:] - edges[:-1])
