"""Cross-entropy of resized logits on a CPU, row by row, with few exponentials.

Between two rows of the grid the resized logits of a class change by the same step from one row of
pixels to the next, so their exponentials by the same factor. A row of pixels is then one product
with the row before, and exponentials are taken twice between two rows of the grid, not once for
every row of pixels. Logits are taken relative to the largest of their cell, which the softmax does
not see and which keeps the products in range; `spread` says whether they are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ttr_backbones.losses.linear_resize import Stretch, resize_matrix, resize_stretches
from ttr_backbones.losses.pixel_targets import PixelTargets

# One row of the resized logits of a few images; five of them stay in the caches of a thread.
_BYTES_PER_THREAD = 1 << 19
_LOG2_E = 1 / math.log(2)
_MARGIN = 20  # binary digits for the sum over a million classes


class Spread(NamedTuple):
    """Logits of the cells in units of log 2, relative to the largest of each, [h, K, B, w]."""

    cells: Tensor
    lift: float
    """Power of 2 that keeps the smallest exponential a normal number."""


def spread(logits: Tensor) -> Spread | None:
    """Logits [B, K, h, w] on a CPU -> what `sum_in_rows` takes; None if they are too far apart.

    Too far is over 220 powers of 2 in float32 (a factor of 10^66 between two probabilities of a
    cell), or not finite.
    """
    cells = logits.permute(2, 1, 0, 3).contiguous()
    cells = (cells - cells.amax(1, keepdim=True)).mul_(_LOG2_E)
    room = -math.log2(torch.finfo(logits.dtype).tiny) - 6
    lift = -cells.min().item() - room
    return Spread(cells, max(0.0, lift)) if lift <= room - _MARGIN else None


def sum_in_rows(
    made: Spread,
    targets: PixelTargets,
    *,
    align_corners: bool,
    with_gradient: bool,
    count_correct: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Take what `spread` gives -> sum of the losses, number of hits (or 0), gradient [B, K, h, w].

    The logits at the labels are not looked up: their sum and its gradient come from
    `PixelTargets.counts`.
    """
    cells = made.cells
    h, K, B, w = cells.shape
    row_bytes = K * targets.labels.shape[2] * cells.itemsize
    at_once = max(1, _BYTES_PER_THREAD * torch.get_num_threads() // max(1, row_bytes))
    gradient = torch.zeros_like(cells) if with_gradient else None
    total, correct = cells.new_zeros((), dtype=torch.float64), targets.valid.new_zeros(())
    for first in range(0, B, at_once):
        images = slice(first, first + at_once)
        rows = _Rows(made, targets, images, align_corners=align_corners, gradient=gradient)
        rows.run(count_correct=count_correct)
        total += rows.total()
        if count_correct:
            correct += rows.correct()
    counts = targets.counts(K, (h, w), cells.dtype, align_corners=align_corners)
    total -= (cells * counts).sum(dtype=torch.float64)
    if gradient is not None:
        gradient = gradient.sub_(counts).permute(2, 1, 0, 3)
    return (total / _LOG2_E).to(cells.dtype), correct, gradient


class _Rows:
    """The rows of pixels of a few images, one after the other."""

    def __init__(
        self,
        made: Spread,
        targets: PixelTargets,
        images: slice,
        *,
        align_corners: bool,
        gradient: Tensor | None,
    ) -> None:
        self.cells = made.cells[:, :, images]
        self.lift = made.lift
        self.gradient = None if gradient is None else gradient[:, :, images]
        _, K, B, w = self.cells.shape
        W = targets.labels.shape[2]
        self.align_corners, self.rows_of_pixels = align_corners, targets.pixels[0]
        like = (align_corners, self.cells.dtype, self.cells.device)
        self.across, _ = resize_matrix(w, targets.pixels[1], *like)  # [W, w]
        # Each row [B W] in one piece.
        self.valid = (~targets.ignored[images]).to(self.cells).transpose(0, 1).flatten(1)
        self.labels = targets.labels[images].transpose(0, 1).flatten(1)
        self.mass = torch.empty_like(self.valid)
        self.of_label, self.largest = torch.empty_like(self.mass), torch.empty_like(self.mass)
        self.wide: dict[int, Tensor] = {}
        self.pending: dict[int, Tensor] = {}
        self.e, self.ratio, self.sums, self.sums_of_sums = self.cells.new_empty(4, K, B * W)

    def run(self, *, count_correct: bool) -> None:
        """Fill `mass`, the gradient and, if asked, what is needed to count."""
        h = len(self.cells)
        stretches = resize_stretches(h, self.rows_of_pixels, align_corners=self.align_corners)
        for stretch in stretches:
            self._finish(stretch.upper)
            above, below = self._resized(stretch.upper), self._resized(stretch.lower)
            torch.lerp(above, below, stretch.start, out=self.e).exp2_()
            if stretch.step:
                torch.sub(below, above, out=self.ratio).mul_(stretch.step).exp2_()
            self._sum_stretch(stretch, count_correct=count_correct)
            if self.gradient is not None:
                self._give_to_grid(stretch)
        self._finish(h)

    def _sum_stretch(self, stretch: Stretch, *, count_correct: bool) -> None:
        """Go through the rows of a stretch, of which `e` has the first, [K, B W]."""
        e, sums, moves = self.e, self.sums, stretch.step != 0
        rows = slice(stretch.first, stretch.first + stretch.pixels)
        share = torch.empty_like(self.mass[0])
        for index, (mass, valid) in enumerate(
            zip(self.mass[rows].unbind(), self.valid[rows].unbind(), strict=True)
        ):
            if moves and index:
                e.mul_(self.ratio)
            torch.sum(e, 0, out=mass)
            if count_correct:
                row = stretch.first + index
                torch.amax(e, 0, out=self.largest[row])
                torch.gather(e, 0, self.labels[row, None], out=self.of_label[row, None])
            if self.gradient is None:
                continue
            torch.div(valid, mass, out=share)
            if index:
                sums.addcmul_(e, share)
                if moves:
                    self.sums_of_sums.add_(sums)
            else:
                torch.mul(e, share, out=sums)
                if moves:
                    self.sums_of_sums.copy_(sums)

    def _resized(self, row: int) -> Tensor:
        """Row of the grid, resized to all columns of pixels, [K, B W]; the last two are kept."""
        if row not in self.wide:
            for old in [each for each in self.wide if each < row - 1]:
                del self.wide[old]
            self.wide[row] = (self.cells[row] @ self.across.T).add_(self.lift).flatten(1)
        return self.wide[row]

    def _give_to_grid(self, stretch: Stretch) -> None:
        """Add a stretch to the gradients of both rows of the grid.

        With x_j of row j of n, sums = sum of x_j, and sums_of_sums = sum of (n - j) x_j. The lower
        row gets the sum of (start + j step) x_j, the upper one the rest.
        """
        end = stretch.start + stretch.pixels * stretch.step
        of_lower = self.sums * end
        if stretch.step:
            of_lower.add_(self.sums_of_sums, alpha=-stretch.step)
        self._add(stretch.upper, self.sums - of_lower)
        self._add(stretch.lower, of_lower)

    def _add(self, row: int, gradient: Tensor) -> None:
        if row in self.pending:
            self.pending[row].add_(gradient)
        else:
            self.pending[row] = gradient

    def _finish(self, before: int) -> None:
        """Take the gradient of all rows of the grid before this one back to its columns."""
        if self.gradient is None:
            return
        done = [row for row in self.pending if row < before]
        for row in done:
            wide = self.pending.pop(row).unflatten(1, (self.cells.shape[2], -1))
            self.gradient[row] = wide @ self.across

    def total(self) -> Tensor:
        """Sum of the logarithms of the sums of exponentials, in units of log 2, float64."""
        logs = self.mass.log2().sub_(self.lift).mul_(self.valid)
        return logs.sum(dtype=torch.float64)

    def correct(self) -> Tensor:
        """Number of pixels whose label has the largest logit."""
        return ((self.of_label == self.largest) & (self.valid > 0)).sum()
