"""Cross-entropy of resized logits in strips of rows, on any device and for any logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ttr_backbones.losses.linear_resize import resize_matrix
from ttr_backbones.losses.pixel_targets import PixelTargets

# Resized logits held at a time. On a CPU they stay in the caches of its threads; on a GPU they are
# enough work for a launch.
_BYTES_PER_THREAD = 3 << 20
_BYTES_ELSEWHERE = 64 << 20
# Powers of 2 are the ones that processors compute; on a CPU torch's exp2 takes a quarter of exp.
_LOG2_E = 1 / math.log(2)


def sum_in_strips(
    logits: Tensor, targets: PixelTargets, *, align_corners: bool, with_gradient: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits [B, K, h, w] -> sum of the losses, number of hits, gradient of the sum."""
    B, K, h, w = logits.shape
    H, W = targets.labels.shape[1:]
    like = (align_corners, logits.dtype, logits.device)
    down, bands = resize_matrix(h, targets.pixels[0], *like)
    across, _ = resize_matrix(w, targets.pixels[1], *like)
    # Rows first, so that a strip of all images is one matrix product.
    wide = (logits.permute(2, 0, 1, 3) @ (across.T * _LOG2_E)).reshape(h, B * K * W)
    gradient = torch.zeros_like(wide) if with_gradient else None
    labels, ignored = (x.transpose(0, 1).unsqueeze(2) for x in (targets.labels, targets.ignored))
    height = _strip_height(wide[:1])
    strip = wide.new_empty(min(height, H), B * K * W)
    total, correct = wide.new_zeros(()), labels.new_zeros(())
    for start in range(0, H, height):
        rows = slice(start, min(start + height, H))
        band = slice(bands[rows.start][0], bands[rows.stop - 1][1])
        weights = down[rows, band]
        flat = torch.mm(weights, wide[band], out=strip[: len(weights)])
        losses, hits = _softmax_gradient(
            flat.view(len(weights), B, K, W),
            labels[rows],
            ignored[rows],
            with_gradient=with_gradient,
        )
        total += losses.sum()
        correct += hits.sum()
        if gradient is not None:
            gradient[band].addmm_(weights.T, flat)
    if gradient is None:
        return total, correct, None
    return total, correct, (gradient.view(h, B, K, W) @ across).permute(1, 2, 0, 3)


def _softmax_gradient(
    scores: Tensor, labels: Tensor, ignored: Tensor, *, with_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Overwrite scores [n, B, K, W], in units of log 2, by the gradient.

    Returns:
        Losses and hits, [n, B, 1, W].
    """
    of_label = scores.gather(2, labels)
    largest = scores.amax(2, keepdim=True)
    mass = scores.sub_(largest).exp2_().sum(2, keepdim=True)
    losses = ((largest - of_label + mass.log2()) / _LOG2_E).masked_fill_(ignored, 0.0)
    hits = (of_label == largest).logical_and_(~ignored)
    if with_gradient:
        scores.mul_(mass.reciprocal_().masked_fill_(ignored, 0.0))
        # Not scatter_add_, which deterministic runs on a GPU slow down or refuse.
        scores.scatter_(2, labels, scores.gather(2, labels).sub_((~ignored).to(scores)))
    return losses, hits


def _strip_height(row: Tensor) -> int:
    """Rows of the resized logits to hold at a time, given one [1, B K W]."""
    on_cpu = row.device.type == "cpu"
    budget = _BYTES_PER_THREAD * torch.get_num_threads() if on_cpu else _BYTES_ELSEWHERE
    return max(1, budget // max(1, row.nbytes))
