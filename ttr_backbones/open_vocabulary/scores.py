"""From scores of queries at every pixel to a class: softmax over queries, thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ttr_backbones.open_vocabulary.windows import CutSide, side_matrix

_BYTES = 1 << 28  # of the scores of all queries at a time
Rows = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class FullSize:
    """Scores [B, Q, h, w] of all windows, as they are at `size` (H, W): row by row, not kept.

    Args:
        scores: of `lay_out`.
        height: the side that the rows come from.
        width: the side that the columns come from.
        size: (H, W).
    """

    scores: Tensor
    height: CutSide
    width: CutSide
    size: tuple[int, int]

    def __call__(self, first: int, last: int) -> Tensor:
        """Scores of some rows, [B, Q, last - first, W]."""
        device = self.scores.device
        rows = side_matrix(self.height, self.size[0], device)[first:last]
        columns = side_matrix(self.width, self.size[1], device)
        return rows @ self.scores @ columns.T


@dataclass(frozen=True)
class Decision:
    """How scores, already scaled for the softmax, become classes.

    Args:
        names: number of queries of each class, in the order of the queries.
        prob_thd: pixels whose best probability is below become class 0, the background.
        area_thd: classes but the background with at most this share of the predicted foreground
            get probability 0; 0 is off.
    """

    names: Sequence[int]
    prob_thd: float = 0.0
    area_thd: float = 0.0

    def best_of_class(self, scores: Tensor) -> Tensor:
        """Score of the best query of each class: [B, Q, H, W] -> [B, K, H, W]."""
        if len(self.names) == scores.shape[1]:
            return scores
        of_class = scores.split(list(self.names), dim=1)
        return torch.stack([part.amax(dim=1) for part in of_class], dim=1)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Softmax over the queries, and of each class the best: [B, Q, H, W] -> [B, K, H, W]."""
        return (self.best_of_class(scores) - scores.logsumexp(dim=1, keepdim=True)).exp()

    def __call__(
        self, rows: Rows, size: tuple[int, int], *, keep: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Decide, a few rows at a time.

        Args:
            rows: gives the scores [B, Q, n, W] of rows of the image.
            size: (H, W).
            keep: give the probabilities too.

        Returns:
            Classes [B, H, W] int64, and the probabilities [B, K, H, W] or None.
        """
        parts = list(_parts(rows, size))
        kept = self._large_enough(rows, parts) if self.area_thd else None
        needed = keep or bool(self.prob_thd or self.area_thd)
        # The class of the best query is that of the highest probability too.
        values = self.probabilities if needed else self.best_of_class
        classes, probabilities = [], []
        for first, last in parts:
            found = values(rows(first, last))
            if kept is not None:
                found = found * kept[:, :, None, None]
            best, label = found.max(dim=1)
            classes.append(torch.where(best < self.prob_thd, 0, label) if self.prob_thd else label)
            if keep:
                probabilities.append(found)
        return torch.cat(classes, dim=1), torch.cat(probabilities, dim=2) if keep else None

    def _large_enough(self, rows: Rows, parts: Sequence[tuple[int, int]]) -> Tensor:
        """Which classes are kept, [B, K] of 0 and 1."""
        counts: Tensor | None = None
        for first, last in parts:
            found = self.best_of_class(rows(first, last))
            label = found.argmax(dim=1).flatten(1)
            if counts is None:
                counts = found.new_zeros(found.shape[:2])
            counts.scatter_add_(1, label, torch.ones_like(label, dtype=found.dtype))
        assert counts is not None, "as an image has rows"
        foreground = counts[:, 1:].sum(dim=1, keepdim=True)
        kept = (counts > self.area_thd * foreground).to(counts.dtype)
        kept[:, 0] = 1
        return kept


def _parts(rows: Rows, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of rows whose scores together take no more than `_BYTES`."""
    height, width = size
    B, Q = rows(0, 1).shape[:2]
    step = max(1, _BYTES // (4 * B * Q * width))
    for first in range(0, height, step):
        yield first, min(first + step, height)
