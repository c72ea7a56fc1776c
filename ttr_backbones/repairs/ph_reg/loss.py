"""What PH-Reg's student learns from."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class DistillationLoss(NamedTuple):
    """The two parts, which count alike (arXiv 2505.21501, section 3.3).

    Args:
        cosine: 1 - mean cosine similarity of all patches.
        mse: mean squared difference.
    """

    cosine: Tensor
    mse: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.cosine + self.mse


def distillation_loss(features: Tensor, targets: Tensor) -> DistillationLoss:
    """Compare the patches of a student with those of the teacher.

    Args:
        features: [B, N, C].
        targets: the same shape.
    """
    features, targets = features.float(), targets.float()
    cosine = 1 - F.cosine_similarity(features, targets, dim=2).mean()
    return DistillationLoss(cosine, F.mse_loss(features, targets))
