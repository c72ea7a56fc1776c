"""How well masks and scores of the foreground fit: counts and average precision per image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ForegroundScores(NamedTuple):
    """What masks of B images are worth; counts are of pixels.

    Args:
        correct: [B].
        labelled: [B].
        intersection: of background and foreground with the truth, [B, 2].
        union: likewise.
        truth: of background and foreground, [B, 2].
        average_precision: of both classes' scores in one ranking, [B].
    """

    correct: Tensor
    labelled: Tensor
    intersection: Tensor
    union: Tensor
    truth: Tensor
    average_precision: Tensor


def foreground_scores(masks: Tensor, scores: Tensor, truth: Tensor) -> ForegroundScores:
    """Score masks image by image, all of a batch at once.

    Args:
        masks: of the foreground, bool [B, H, W].
        scores: of background and foreground, [B, 2, H, W].
        truth: true masks, bool [B, H, W].
    """
    predicted = torch.stack([~masks, masks], dim=1).flatten(2)
    true = torch.stack([~truth, truth], dim=1).flatten(2)
    intersection = (predicted & true).sum(dim=2)
    union = (predicted | true).sum(dim=2)
    labelled = torch.full_like(union[:, 0], true.shape[2])
    return ForegroundScores(
        intersection.sum(dim=1),
        labelled,
        intersection,
        union,
        true.sum(dim=2),
        average_precision(scores.flatten(1), true.flatten(1)),
    )


def average_precision(scores: Tensor, truth: Tensor) -> Tensor:
    """Average precision of rankings: precision at every threshold, weighted by the gain in recall.

    Equal scores are one threshold, as in scikit-learn's `average_precision_score`.

    Args:
        scores: [B, M].
        truth: bool [B, M].

    Returns:
        [B], float64; 0 where nothing is true.
    """
    order = scores.argsort(dim=1, descending=True)
    falling = -scores.gather(1, order)
    hits = truth.gather(1, order).double()
    # How many have at least this score: the end of the run of equal ones.
    ends = torch.searchsorted(falling, falling, right=True)
    precision = hits.cumsum(dim=1).gather(1, ends - 1) / ends
    return (precision * hits).sum(dim=1) / hits.sum(dim=1).clamp(min=1)
