"""k nearest neighbours: exact, in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ttr_backbones.errors import InputError

AT_ONCE = 2**26  # similarities in memory: 256 MiB of float32


def nearest(
    queries: Tensor, bank: Tensor, k: int, *, at_once: int = AT_ONCE
) -> tuple[Tensor, Tensor]:
    """Find the k features of a bank that are most similar to each query.

    Args:
        queries: [B, C], in the bank's precision or another.
        bank: [N, C].
        k: how many, at most N.
        at_once: so many similarities are held at the same time, or those with k features of the
            bank if that is more.

    Returns:
        Dot products [B, k], the largest first, and the indices of their features [B, k].

    Raises:
        InputError: the bank holds less than k features.
    """
    if k > len(bank):
        raise InputError(
            f"k={k} neighbours, and there are {len(bank)} images to find them among: take a k of "
            "at most that (model.k=(10,20))"
        )
    queries = queries.to(bank.dtype)
    step = max(at_once // max(len(queries), 1), k)
    best = queries.new_empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for start in range(0, len(bank), step):
        similarity = queries @ bank[start : start + step].T
        found = similarity.topk(min(k, similarity.shape[1]), dim=1)
        best = torch.cat([best, found.values], dim=1)
        indices = torch.cat([indices, found.indices + start], dim=1)
        kept = best.topk(min(k, best.shape[1]), dim=1)
        best, indices = kept.values, indices.gather(1, kept.indices)
    return best.float(), indices


def votes_by_k(
    similarity: Tensor, labels: Tensor, num_classes: int, ks: Sequence[int], temperature: float
) -> dict[int, Tensor]:
    """Let the nearest neighbours vote, each with softmax(similarity / temperature).

    Source: DINOv2's kNN evaluation (arXiv 2304.07193). The softmax is over all neighbours given,
    which is the same vote for every k: it only scales the weights.

    Args:
        similarity: [B, M], the largest first.
        labels: classes of these neighbours, [B, M].
        num_classes: K.
        ks: for each k the first k neighbours vote; at most M.
        temperature: of the softmax.

    Returns:
        {k: votes [B, K]}.
    """
    weights = (similarity / temperature).softmax(dim=1)
    votes = weights.new_zeros(len(weights), num_classes)
    found: dict[int, Tensor] = {}
    counted = 0
    for k in sorted(set(ks)):
        votes.scatter_add_(1, labels[:, counted:k], weights[:, counted:k])
        found[k], counted = votes.clone(), k
    return found


def voted_classes(
    similarity: Tensor, labels: Tensor, num_classes: int, ks: Sequence[int], temperature: float
) -> Tensor:
    """Return the class with the most votes for each k, [B, len(ks)]; see `votes_by_k`."""
    votes = votes_by_k(similarity, labels, num_classes, ks, temperature)
    return torch.stack([votes[k].argmax(dim=1) for k in ks], dim=1)
