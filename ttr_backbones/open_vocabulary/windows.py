"""Windows of images, and how what was found in them comes together at full size.

Bilinear resampling, the mean where windows overlap and the resampling to the size on disk are
linear, and the same along every row and every column. So they are two matrices, one per side of the
image: scores at full size are `rows @ scores of all windows @ columns^T`, for any rows alone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.errors import InputError

Fit = Literal["stretch", "pad"]


def window_starts(length: int, crop: int | None, stride: int | None) -> tuple[int, ...]:
    """Return where windows begin along a side; the last one is shifted inside.

    A side shorter than `crop` is one window, and so is every side with crop=None.
    """
    if crop is None or stride is None or length <= crop:
        return (0,)
    steps = -(-(length - crop) // stride) + 1
    return tuple(min(step * stride, length - crop) for step in range(steps))


@dataclass(frozen=True)
class CutSide:
    """One side of an image, cut into windows of whole patches.

    Args:
        length: pixels of the image.
        starts: where windows begin.
        size: pixels of a window.
        patch: pixels of a patch.
        fit: what becomes of a window that is no multiple of the patch: "stretch", the pixels
            behind its last whole patch are not seen, and the map is stretched over all of it;
            "pad", zeros around it, and what lies on them is cut off again.
        whole: the image goes through the model as it is, and its map to the output at once.
    """

    length: int
    starts: tuple[int, ...]
    size: int
    patch: int
    fit: Fit
    whole: bool = False

    @property
    def cells(self) -> int:
        """Patches along a window."""
        whole = self.size // self.patch
        return whole if self.fit == "stretch" else -(-self.size // self.patch)

    @property
    def margins(self) -> tuple[int, int]:
        """Zeros before and behind a window; negative where pixels are left away."""
        missing = self.cells * self.patch - self.size
        return (0, missing) if self.fit == "stretch" else (missing // 2, missing - missing // 2)


def cut_side(length: int, crop: int | None, stride: int | None, patch: int, fit: Fit) -> CutSide:
    """Cut a side of an image into windows.

    Raises:
        InputError: a window is smaller than a patch.
    """
    starts = window_starts(length, crop, stride)
    size = length if crop is None else min(length, crop)
    if size < patch:
        raise InputError(f"a window of {size} pixels is smaller than a patch of {patch}")
    return CutSide(length, starts, size, patch, fit, whole=crop is None)


def cut(images: Tensor, height: CutSide, width: CutSide) -> Tensor:
    """Images [B, 3, H, W] -> windows [B * ny * nx, 3, h, w] of whole patches, row by row."""
    windows = images
    if len(height.starts) > 1 or len(width.starts) > 1:
        # Slices, because an index would have to be copied to the GPU, which waits for all before.
        bands = torch.stack([images.narrow(2, y, height.size) for y in height.starts], dim=1)
        windows = torch.stack([bands.narrow(4, x, width.size) for x in width.starts], dim=2)
        windows = windows.flatten(0, 2)  # of [B, ny, nx, 3, h, w]
    around = (*width.margins, *height.margins)
    return F.pad(windows, around) if any(around) else windows


@functools.lru_cache(maxsize=256)
def side_matrix(side: CutSide, output: int, device: torch.device) -> Tensor:
    """Return what takes the patches of all windows to `output` pixels, [output, n * cells]."""
    padded = side.cells * side.patch if side.fit == "pad" else side.size
    if side.whole and padded == side.size:
        return _resampling(side.cells, output).float().to(device)
    first = side.margins[0] if side.fit == "pad" else 0
    up = _resampling(side.cells, padded)[first : first + side.size]
    placed = torch.zeros(side.length, len(side.starts), side.cells, dtype=up.dtype)
    times = torch.zeros(side.length, 1, 1, dtype=up.dtype)
    for index, start in enumerate(side.starts):
        placed[start : start + side.size, index] = up
        times[start : start + side.size] += 1
    matrix = _resampling(side.length, output) @ (placed / times).flatten(1)
    return matrix.float().to(device)


def _resampling(length: int, output: int) -> Tensor:
    """Bilinear resampling along a side, without antialias or aligned corners: [output, length]."""
    each = torch.eye(length, dtype=torch.float64)[None]
    return F.interpolate(each, size=output, mode="linear", align_corners=False)[0].T


def lay_out(scores: Tensor, images: int, height: CutSide, width: CutSide) -> Tensor:
    """Lay the windows of an image side by side.

    Args:
        scores: of `cut`'s windows, [B * ny * nx, Q, h, w].
        images: B.
        height: as in `cut`.
        width: likewise.

    Returns:
        [B, Q, ny * h, nx * w].
    """
    ny, nx = len(height.starts), len(width.starts)
    apart = scores.unflatten(0, (images, ny, nx))
    return apart.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
