"""Whether images keep their nearest neighbours: what a model without classes agrees on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NEIGHBOURS = 5


def neighbour_agreement(before: Tensor, after: Tensor, k: int = NEIGHBOURS) -> float | None:
    """Share of each image's nearest images that are still among its nearest, mean over images.

    Args:
        before: one embedding per image, [B, E].
        after: the same images under a change, [B, E].
        k: neighbours of an image, by cosine similarity.

    Returns:
        Between 0 and 1; None for fewer than k + 2 images, of which all would be near.
    """
    if len(before) < k + 2:
        return None
    ours, theirs = _nearest(before, k), _nearest(after, k)
    kept = (ours.unsqueeze(2) == theirs.unsqueeze(1)).sum(dim=(1, 2))
    return kept.double().mean().item() / k


def _nearest(embeddings: Tensor, k: int) -> Tensor:
    """Indices of the k nearest other images, [B, k]."""
    unit = F.normalize(embeddings.double(), dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)
    return similarity.topk(k, dim=1).indices
