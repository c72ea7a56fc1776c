"""Cross-entropy of bilinearly resized logits that are never held at full size."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.errors import InputError

# Resized logits held at a time. On a CPU they stay in the caches of its threads; on a GPU they are
# enough work for a launch.
_BYTES_PER_THREAD = 3 << 20
_BYTES_ELSEWHERE = 64 << 20
# Powers of 2 are the ones that processors compute; on a CPU torch's exp2 takes a quarter of exp.
_LOG2_E = 1 / math.log(2)


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
    labels: Tensor,
    *,
    ignore_index: int = 255,
    align_corners: bool = False,
    stride: int = 1,
    offset: tuple[int, int] = (0, 0),
) -> PixelLoss:
    """Take the cross-entropy of `logits` resized to `labels`, and count the hits.

    Equal to F.cross_entropy of F.interpolate(logits, (H, W), mode="bilinear"), value and gradient,
    for any sizes. A bilinear resize is one small matrix along each axis. The width is resized at
    once, the height in strips of rows that fit a cache; the gradient of a strip goes back through
    the same matrices before the next strip is made. So the memory is 2 B K h W values instead of
    several times B K H W, and everything is computed in one pass, in float32 or better. No value
    is fetched from the device.

    Args:
        logits: [B, K, h, w], finite.
        labels: [B, H, W], int64.
        ignore_index: label of the pixels that count nowhere.
        align_corners: as for F.interpolate.
        stride: only every stride-th row and column of the pixels is resized and counted.
        offset: the first row and column of them, each from 0 to stride - 1.

    Raises:
        InputError: the shapes do not fit, the offset is not below the stride, or, on a CPU, a label
            is no class. (On a GPU CUDA's own assertion tells the latter, as for F.cross_entropy.)
    """
    if logits.ndim != 4 or labels.ndim != 3 or len(logits) != len(labels):
        raise InputError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)}: expected [B, K, h, w] "
            "and [B, H, W]"
        )
    if not all(0 <= first < stride for first in offset):
        raise InputError(f"stride {stride}, offset {offset}: expected both from 0 to stride - 1")
    pixels = tuple(
        _Pixels(length, first, stride)
        for length, first in zip(labels.shape[1:], offset, strict=True)
    )
    labels = labels[:, offset[0] :: stride, offset[1] :: stride]
    ignored = labels == ignore_index
    labels = labels.masked_fill(ignored, 0)
    if labels.device.type == "cpu" and labels.numel():
        _check_labels(labels, logits.shape[1], ignore_index)
    # Autocast does not know meta tensors, on which memory is worked out.
    with nullcontext() if logits.is_meta else torch.autocast(logits.device.type, enabled=False):
        exact = logits if logits.dtype == torch.float64 else logits.float()
        with_gradient = torch.is_grad_enabled() and exact.requires_grad
        total, correct = _InStrips.apply(
            exact, labels, ignored, pixels, align_corners, with_gradient
        )
    return PixelLoss(total, correct, (~ignored).sum(), ignored.numel())


class _Pixels(NamedTuple):
    """Those of an axis that count: every `stride`-th of `length` from `first` on."""

    length: int
    first: int
    stride: int


class _InStrips(torch.autograd.Function):
    """Logits [B, K, h, w], labels and whether they are ignored [B, H, W] -> total, correct."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        ignored: Tensor,
        pixels: tuple[_Pixels, _Pixels],
        align_corners: bool,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        B, K, h, w = logits.shape
        H, W = labels.shape[1:]
        like = (align_corners, logits.dtype, logits.device)
        down, bands = _resize_matrix(h, pixels[0], *like)
        across, _ = _resize_matrix(w, pixels[1], *like)
        # Rows first, so that a strip of all images is one matrix product.
        wide = (logits.permute(2, 0, 1, 3) @ (across.T * _LOG2_E)).reshape(h, B * K * W)
        gradient = torch.zeros_like(wide) if with_gradient else None
        labels, ignored = (tensor.transpose(0, 1).unsqueeze(2) for tensor in (labels, ignored))
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
        if gradient is not None:
            small = gradient.view(h, B, K, W) @ across
            ctx.save_for_backward(small.permute(1, 2, 0, 3))
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
        return gradient * total, None, None, None, None, None


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


@lru_cache(maxsize=64)
def _resize_matrix(
    before: int, after: _Pixels, align_corners: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Torch's linear resize of an axis as a matrix [pixels, before], and each row's band.

    The band of a row is the range of its columns that are not 0.
    """
    identity = torch.eye(before, dtype=dtype)[None]
    matrix = F.interpolate(identity, after.length, mode="linear", align_corners=align_corners)
    matrix = matrix[0].T[after.first :: after.stride]
    used = (matrix != 0).int()
    first, last = used.argmax(1), before - used.flip(1).argmax(1)
    bands = list(zip(first.tolist(), last.tolist(), strict=True))
    return matrix.contiguous().to(device), bands


def _check_labels(labels: Tensor, classes: int, ignore_index: int) -> None:
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= classes:
        raise InputError(
            f"labels go from {low} to {high}, but the logits have {classes} classes: expected 0 to "
            f"{classes - 1}, or ignore_index={ignore_index}. Is num_classes that of the data set, "
            "and is reduce_zero_label as it should be?"
        )
