"""Which patches stand out: by their norm, by a direction, or among the others of their image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def by_norm(patches: Tensor, threshold: float) -> Tensor:
    """Mark patches [B, h, w, C] with a norm above the threshold: bool [B, h, w]."""
    return torch.linalg.vector_norm(patches, dim=-1, dtype=torch.float32) > threshold


def by_direction(patches: Tensor, direction: Tensor, threshold: float) -> Tensor:
    """Mark patches whose |cos| with a unit vector [C] is above the threshold: bool [B, h, w]."""
    unit = F.normalize(patches.float(), dim=-1)
    return (unit @ direction.float()).abs() > threshold


def by_local_outlier_factor(patches: Tensor, k: int, share: float) -> Tensor:
    """Mark the patches of the highest local outlier factors of every image: bool [B, h, w].

    As SC-CLIP does (arXiv 2411.15869: k 30, 5 %).

    Args:
        patches: [B, h, w, C].
        k: neighbours, by distance; more than there are means all.
        share: of the patches, less than which have a higher factor than a marked one.
    """
    factors = local_outlier_factors(patches.flatten(1, 2), k)
    higher = (factors[:, None, :] > factors[:, :, None]).sum(dim=2)
    return (higher < share * factors.shape[1]).unflatten(1, patches.shape[1:3])


def local_outlier_factors(tokens: Tensor, k: int) -> Tensor:
    """How much sparser it is around a token than around its k nearest (Breunig et al., 2000).

    Args:
        tokens: [B, N, C].
        k: neighbours; at most N - 1.

    Returns:
        [B, N], about 1 where a token has its like.
    """
    number: Any = torch.sym_min(k, tokens.shape[1] - 1)  # a symbol in a traced graph
    tokens = tokens.float() - tokens.float().mean(dim=1, keepdim=True)  # what products lose is less
    # By products at every N, or a traced graph would hold for few tokens or for many only.
    how = "use_mm_for_euclid_dist"
    distances = torch.cdist(tokens, tokens, compute_mode=how)  # [B, N, N]
    itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)
    nearest, neighbours = distances.masked_fill(itself, torch.inf).topk(
        number, dim=2, largest=False
    )
    reach = nearest[..., -1]  # [B, N], the distance of the k-th
    reached = torch.maximum(_gather(reach, neighbours), nearest)  # [B, N, k]
    density = 1 / reached.mean(dim=2).clamp_min(1e-12)
    return _gather(density, neighbours).mean(dim=2) / density


def _gather(values: Tensor, neighbours: Tensor) -> Tensor:
    """Values [B, N] of the neighbours [B, N, k]."""
    whole = values[:, None, :].expand(-1, neighbours.shape[1], -1)
    return whole.gather(2, neighbours)
