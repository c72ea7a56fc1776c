"""Outliers by direction: what the final features of a model's outliers have in common.

A norm tells outliers inside a model. A repair may leave them there and clean what comes out, or
hide them from a norm and leave their direction; so both are looked at. Outliers of one model point
the same way whatever the image (the real ViT-Ti: all within 9 degrees of their mean after the final
norm, and the other patches at 64 degrees and more).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

NEAR = 0.7  # cosine, 46 degrees


@dataclass(frozen=True)
class OutlierDirection:
    """The direction of a model's outliers.

    Args:
        centre: mean final features of its other patches, [C].
        direction: unit vector from there to the mean of its outliers, [C].
    """

    centre: Tensor
    direction: Tensor

    def cosine(self, features: Tensor) -> Tensor:
        """Cosine between final features, seen from the centre, and the direction.

        Args:
            features: [..., C].

        Returns:
            [...].
        """
        return F.cosine_similarity(features.float() - self.centre, self.direction, dim=-1)

    def is_outlier_direction(self, features: Tensor) -> Tensor:
        """Whether final features [..., C] are those of outliers, bool [...]."""
        return self.cosine(features) > NEAR


def outlier_direction(parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Add up what `direction_of_sums` needs.

    Args:
        parts: final features of the patches [B, N, C] with the outliers among them, bool [B, N].

    Returns:
        Sums of the features of the others and of the outliers with their counts, float64
        [2, C + 1]; of several processes they add up.
    """
    sums: Tensor | None = None
    for features, outliers in parts:
        counted = F.pad(features.double(), (0, 1), value=1.0)  # the count beside the sum
        both = torch.stack([counted[~outliers].sum(dim=0), counted[outliers].sum(dim=0)])
        sums = both if sums is None else sums + both
    if sums is None:
        raise ValueError("expected at least one batch")
    return sums


def direction_of_sums(sums: Tensor) -> OutlierDirection | None:
    """Return the direction, or None without an outlier or without anything else.

    Args:
        sums: of `outlier_direction`.
    """
    counts = sums[:, -1:]
    if not counts.all():
        return None
    others, outliers = (sums[:, :-1] / counts).float().unbind()
    return OutlierDirection(others, F.normalize(outliers - others, dim=0))
