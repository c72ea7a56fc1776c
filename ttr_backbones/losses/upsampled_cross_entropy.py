"""Cross-entropy of bilinearly resized logits that are never held at full size."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.losses.in_rows import spread, sum_in_rows
from ttr_backbones.losses.in_strips import sum_in_strips
from ttr_backbones.losses.pixel_targets import PixelTargets


class PixelLoss(NamedTuple):
    """What `upsampled_cross_entropy` gives; divide by `valid`, or by `pixels`, for a mean."""

    total: Tensor
    """Sum of the loss over all pixels that are not ignored, a scalar with a gradient."""
    correct: Tensor
    """Number of pixels whose label has the largest logit (a tie counts), int64."""
    valid: Tensor
    """Number of pixels that are not ignored, int64."""
    pixels: int
    """Number of pixels that were resized, ignored ones included."""


def upsampled_cross_entropy(
    logits: Tensor,
    targets: Tensor | PixelTargets,
    *,
    align_corners: bool = False,
    count_correct: bool = True,
) -> PixelLoss:
    """Take the cross-entropy of `logits` resized to the labels, and count the hits.

    Equal to F.cross_entropy of F.interpolate(logits, (H, W), mode="bilinear"), value and gradient,
    for any sizes. A bilinear resize is one small matrix along each axis. The width is resized at
    once, the height bit by bit, as much as a cache holds; the gradient of a bit goes back through
    the same matrices before the next one is made. So everything is computed in one pass, in
    float32 or better, and the memory is at most 2 B K h W values instead of several times B K H W.
    No value is fetched from a device that is not a CPU.

    Args:
        logits: [B, K, h, w], finite.
        targets: labels [B, H, W], int64, in which 255 is ignored; or `PixelTargets`, for other
            choices, and for several heads with the same labels.
        align_corners: as for F.interpolate.
        count_correct: without, `correct` is 0 where that saves time.

    Raises:
        InputError: the shapes do not fit, or, on a CPU, a label is no class. (On a GPU CUDA's own
            assertion tells the latter, as for F.cross_entropy.)
    """
    labels = targets.labels if isinstance(targets, PixelTargets) else targets
    if logits.ndim != 4 or labels.ndim != 3 or len(logits) != len(labels):
        raise InputError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)}: expected [B, K, h, w] "
            "and [B, H, W]"
        )
    if not isinstance(targets, PixelTargets):
        targets = PixelTargets(targets)
    if labels.device.type == "cpu":
        targets.check(logits.shape[1])
    # Autocast does not know meta tensors, on which memory is worked out.
    with nullcontext() if logits.is_meta else torch.autocast(logits.device.type, enabled=False):
        exact = logits if logits.dtype == torch.float64 else logits.float()
        total, correct = _Sum.apply(
            exact,
            targets,
            align_corners,
            count_correct,
            torch.is_grad_enabled() and exact.requires_grad,
        )
    return PixelLoss(total, correct, targets.valid, targets.ignored.numel())


class _Sum(torch.autograd.Function):
    """Logits [B, K, h, w] and targets -> sum of the losses, number of hits."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        targets: PixelTargets,
        align_corners: bool,
        count_correct: bool,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        common: dict[str, bool] = {"align_corners": align_corners, "with_gradient": with_gradient}
        # A GPU takes exponentials as fast as products, and would wait for the spread.
        near = spread(logits) if logits.device.type == "cpu" and logits.numel() else None
        if near is None:
            total, correct, gradient = sum_in_strips(logits, targets, **common)
        else:
            common["count_correct"] = count_correct
            total, correct, gradient = sum_in_rows(near, targets, **common)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(correct)
        return total, correct

    @staticmethod
    def backward(ctx: Any, total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        # torch's once_differentiable lets pass a plain upstream gradient, and would give a graph
        # that lacks this loss.
        if torch.is_grad_enabled():
            raise InputError(
                "upsampled_cross_entropy has no second derivative: leave create_graph=True out, or "
                "use F.cross_entropy of F.interpolate"
            )
        (gradient,) = ctx.saved_tensors
        return gradient * total, None, None, None, None
