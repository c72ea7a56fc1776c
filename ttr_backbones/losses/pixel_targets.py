"""`PixelTargets`: what cross-entropy needs of the labels, worked out once for many heads."""

from __future__ import annotations

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.losses.linear_resize import Pixels, resize_positions


class PixelTargets:
    """The labels of a batch, or of every stride-th row and column of its pixels.

    Args:
        labels: [B, H, W], int64.
        ignore_index: label of the pixels that count nowhere.
        stride: only every stride-th row and column of the pixels counts.
        offset: the first row and column of them, each from 0 to stride - 1.

    Attributes:
        labels: of the pixels that count, [B, H', W'], 0 where they are ignored.
        ignored: whether they are, bool [B, H', W'].
        pixels: the rows and the columns that count.
        valid: number of pixels that are not ignored, int64.

    Raises:
        InputError: labels of another shape, or the offset is not below the stride.
    """

    def __init__(
        self,
        labels: Tensor,
        *,
        ignore_index: int = 255,
        stride: int = 1,
        offset: tuple[int, int] = (0, 0),
    ) -> None:
        if labels.ndim != 3:
            raise InputError(f"labels {list(labels.shape)}: expected [B, H, W]")
        if not all(0 <= first < stride for first in offset):
            raise InputError(
                f"stride {stride}, offset {offset}: expected both from 0 to stride - 1"
            )
        height, width = labels.shape[1:]
        self.pixels = Pixels(height, offset[0], stride), Pixels(width, offset[1], stride)
        labels = labels[:, offset[0] :: stride, offset[1] :: stride]
        self.ignore_index = ignore_index
        self.ignored = labels == ignore_index
        self.labels = labels.masked_fill(self.ignored, 0)
        self.valid = (~self.ignored).sum()
        self._range: tuple[int, int] | None = None
        self._counts: dict[tuple[object, ...], Tensor] = {}

    def check(self, classes: int) -> None:
        """See that all labels are classes; the host waits for them.

        Raises:
            InputError: a label is none.
        """
        if self._range is None:
            low, high = self.labels.aminmax() if self.labels.numel() else (0, 0)
            self._range = int(low), int(high)
        low, high = self._range
        if low < 0 or high >= classes:
            raise InputError(
                f"labels go from {low} to {high}, but the logits have {classes} classes: expected "
                f"0 to {classes - 1}, or ignore_index={self.ignore_index}. Is num_classes that of "
                "the data set, and is reduce_zero_label as it should be?"
            )

    def counts(
        self, classes: int, grid: tuple[int, int], dtype: torch.dtype, *, align_corners: bool
    ) -> Tensor:
        """How much of each class lies at each cell of a grid (h, w), [h, K, B, w].

        A pixel counts for the four cells that it is resized from, by their weights: this is the
        transpose of the resize, applied to the labels as one-hot maps. The sum of all resized
        logits at their labels is the inner product of logits and counts.
        """
        key = (classes, grid, dtype, align_corners)
        if key not in self._counts:
            self._counts[key] = self._count(classes, grid, dtype, align_corners=align_corners)
        return self._counts[key]

    def _count(
        self, classes: int, grid: tuple[int, int], dtype: torch.dtype, *, align_corners: bool
    ) -> Tensor:
        batch, (h, w) = len(self.labels), grid
        of_axis = [
            _corners(before, pixels, self.labels, dtype, align_corners=align_corners)
            for before, pixels in zip(grid, self.pixels, strict=True)
        ]
        images = torch.arange(batch, device=self.labels.device)[:, None, None]
        of_label = self.labels.mul(batch).add_(images).mul_(w)
        valid = (~self.ignored).to(dtype)
        counts = valid.new_zeros(h * classes * batch * w)
        for row, of_row in of_axis[0]:
            at = of_label + (row * (classes * batch * w))[:, None]
            weights = valid * of_row[:, None]
            for column, of_column in of_axis[1]:
                counts.scatter_add_(0, (at + column).flatten(), (weights * of_column).flatten())
        return counts.view(h, classes, batch, w)


def _corners(
    before: int, pixels: Pixels, like: Tensor, dtype: torch.dtype, *, align_corners: bool
) -> list[tuple[Tensor, Tensor]]:
    """The cells on both sides of each pixel of an axis, and their weights, [pixels] each."""
    at = resize_positions(before, pixels, align_corners=align_corners)
    first = at.long().clamp_(max=max(0, before - 2))
    weight = at - first
    sides = [(first, 1 - weight), ((first + 1).clamp_(max=before - 1), weight)]
    return [(cell.to(like.device), part.to(like.device, dtype)) for cell, part in sides]
