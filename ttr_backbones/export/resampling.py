"""Resampling to sizes that are not known yet: products with matrices that the graph computes.

torch wants its scale factors as numbers when a resampling is exported, and ONNX has no operator for
DINOv2's. On a regular grid each of them is `rows @ map @ columns.T`, whose weights take a few
elementary operations.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.backbones.padding import Margins
from ttr_backbones.vits.pos_embed import OFFSET, PosEmbed
from ttr_backbones.vits.tokens import Grid

_REACH = 2  # of the bicubic kernel, in samples


def resampled_table(table: Tensor, num: int, old: Grid, grid: Grid, how: PosEmbed) -> Tensor:
    """Do what `position_table` does, for a grid of symbolic sizes.

    Args:
        table: the model's positions at its own grid, [1, num + h0 * w0, C].
        num: rows before those of the patches.
        old: its own grid, (h0, w0).
        grid: the one asked for, (h, w).
        how: the resampling, as in `position_table`.

    Returns:
        [1, num + h * w, C].
    """
    square = table[0, num:].float().unflatten(0, old).permute(2, 0, 1)  # [C, h0, w0]
    sizes = [_number(side, table) for side in grid]
    if how == "timm":
        rows, columns = (
            _antialiased(n, size, m) for n, size, m in zip(old, sizes, grid, strict=True)
        )
    else:
        square = F.pad(square[None], (_REACH,) * 4, mode="replicate")[0]
        same = (sizes[0] == old[0]) & (sizes[1] == old[1])
        offset = torch.where(same, 0.0, OFFSET)
        rows, columns = (
            _interpolating(n, size + offset, m) for n, size, m in zip(old, sizes, grid, strict=True)
        )
    resampled = (rows @ square @ columns.T).flatten(1).T[None].to(table.dtype)
    return torch.cat([table[:, :num], resampled], dim=1)


def resampled_window(x: Tensor, around: Margins, patch: tuple[int, int]) -> Tensor:
    """Do what `crop_map` does, for a map [B, C, h, w] and margins of symbolic sizes."""
    left, right, top, bottom = around
    rows = _window(x.shape[2], top, bottom, patch[0], x)
    columns = _window(x.shape[3], left, right, patch[1], x)
    return rows @ x @ columns.T


def _number(size: int, like: Tensor) -> Tensor:
    """Make a tensor of one float of a symbolic size."""
    return torch.full((1,), size, dtype=torch.float32, device=like.device)


def _antialiased(n: int, size: Tensor, m: int) -> Tensor:
    """Weights [m, n] of m samples of n, by the bicubic kernel that widens as it shrinks."""
    scale = n / size
    centre = scale * (torch.arange(m, device=size.device)[:, None] + 0.5)
    at = torch.arange(n, device=size.device) + 0.5
    weights = _cubic((at - centre) / scale.clamp(min=1.0), -0.5)
    return weights / weights.sum(dim=1, keepdim=True)


def _interpolating(n: int, size: Tensor, m: int) -> Tensor:
    """Weights [m, n + 4] of m samples at steps of n / size; the ends are repeated twice."""
    at = n / size * (torch.arange(m, device=size.device)[:, None] + 0.5) - 0.5
    return _cubic(torch.arange(-_REACH, n + _REACH, device=size.device) - at, -0.75)


def _window(n: int, before: int, after: int, patch: int, like: Tensor) -> Tensor:
    """Weights [n, n] of n equal cells of a side of n patches less its margins, bilinear."""
    index = torch.arange(n, device=like.device, dtype=like.dtype)
    size, margin, start = (_number(value, like) for value in (n * patch, before + after, before))
    at = (index[:, None] + 0.5) * (1 - margin / size) + start / patch - 0.5
    at = torch.minimum(at.clamp(min=0.0), _number(n - 1, like))
    return (1 - (index - at).abs()).clamp(min=0.0)


def _cubic(x: Tensor, a: float) -> Tensor:
    """Keys' kernel of parameter a."""
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < _REACH, far, 0.0))
