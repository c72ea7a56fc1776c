"""`SigLoss`: the scale-invariant logarithmic loss of DINOv2's depth heads."""

from __future__ import annotations

from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ttr_backbones.losses.log_difference import log_difference

_MEAN_WEIGHT = 0.15


@MODELS.register_module()
class SigLoss(nn.Module):
    """sqrt(var(g) + 0.15 mean(g)^2) of the log difference g over all valid pixels of the batch.

    The variance is the unbiased one. The first `warm_up` calls leave it out, so that the scale of
    the depth is found first; the calls are counted in a persistent buffer, so a resumed run goes
    on where it stood. Exact predictions and batches without a valid pixel give 0 with a zero
    gradient, where the published code gives NaN.

    Source: the DINOv2 repository, after AdaBins (arXiv 2011.14141).

    Args:
        loss_weight: factor of the loss.
        warm_up: number of calls without the variance; 100 in DINOv2's protocol.
        loss_name: key of the loss in the log; must begin with "loss" to be minimised.
    """

    def __init__(
        self, loss_weight: float = 1.0, *, warm_up: int = 100, loss_name: str = "loss_depth"
    ) -> None:
        super().__init__()
        self.loss_weight, self.warm_up, self.loss_name = loss_weight, warm_up, loss_name
        self.warm_up_calls: Tensor
        self.register_buffer("warm_up_calls", torch.zeros((), dtype=torch.long))
        self.register_load_state_dict_post_hook(_forgive_counter)

    def forward(self, depth: Tensor, truth: Tensor) -> Tensor:
        """Depth and truth [B, 1, H, W] in metres, 0 = no truth -> loss, a scalar."""
        difference, valid = log_difference(depth, truth)
        count = valid.sum()
        mean = difference.sum() / count.clamp(min=1)
        deviation = (difference - mean).masked_fill(~valid, 0.0)
        variance = deviation.square().sum() / (count - 1).clamp(min=1)
        warming_up = self.warm_up_calls < self.warm_up
        self.warm_up_calls += 1
        squared = variance.masked_fill(warming_up, 0.0) + _MEAN_WEIGHT * mean.square()
        # The square root has no slope at 0, and 0 times infinity would be NaN.
        is_zero = squared == 0
        root = squared.masked_fill(is_zero, 1.0).sqrt().masked_fill(is_zero, 0.0)
        return self.loss_weight * root


def _forgive_counter(module: Any, incompatible: Any) -> None:  # noqa: ARG001
    """Do not miss the counter in a released head, which was saved without one."""
    missing = incompatible.missing_keys
    missing[:] = [key for key in missing if not key.endswith("warm_up_calls")]
