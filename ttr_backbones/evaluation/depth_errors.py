"""The nine numbers of monocular depth, and the pixels that they are taken over.

Depths are in metres. Source: the evaluation of BTS and of the Monocular Depth Estimation Toolbox,
which DINOv2 uses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ttr_backbones.errors import InputError

ERRORS = ("d1", "d2", "d3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")
_NYU_SIZE = (480, 640)


def depth_errors(pred: Tensor, gt: Tensor) -> dict[str, float]:
    """Compare predicted and true depth, both [P] in metres: masked and clamped by the caller.

    With the difference e of the natural logarithms: d1, d2, d3 are the shares of pixels with
    max(pred / gt, gt / pred) below 1.25, 1.25^2, 1.25^3; abs_rel and sq_rel the means of
    |pred - gt| / gt and (pred - gt)^2 / gt; rmse and rmse_log the roots of the mean squares of
    pred - gt and e; log10 the mean of the absolute difference of the decimal logarithms; silog is
    100 sqrt(mean(e^2) - mean(e)^2).

    Raises:
        InputError: the two differ in shape, are empty, or hold a depth that is no positive number.
    """
    if pred.ndim != 1 or pred.shape != gt.shape or not pred.numel():
        raise InputError(
            "depth_errors expected two equally long 1-D tensors with at least one depth, got "
            f"{list(pred.shape)} and {list(gt.shape)}; select the valid pixels first, as in "
            "pred[mask], gt[mask]"
        )
    for name, depth in (("pred", pred), ("gt", gt)):
        bad = int((~(depth.isfinite() & (depth > 0))).sum())
        if bad:
            raise InputError(
                f"{bad} of the {depth.numel()} values of {name} are no positive finite depth: mask "
                "missing truth out and clamp the prediction to min_depth..max_depth first"
            )
    values = masked_errors(pred, gt, torch.ones_like(gt, dtype=torch.bool)).tolist()
    return dict(zip(ERRORS, values, strict=True))


def masked_errors(pred: Tensor, gt: Tensor, mask: Tensor) -> Tensor:
    """Return the values of `ERRORS` over the pixels of `mask`: any equal shapes -> float64 [9].

    Nothing is checked and the device is not waited for; an empty mask gives NaN.
    """
    pred, gt = (x.masked_fill(~mask, 1.0).double().flatten() for x in (pred, gt))
    mask = mask.flatten()
    count = mask.sum()
    difference = pred - gt
    log_difference = pred.log() - gt.log()
    ratio = torch.maximum(pred / gt, gt / pred)
    per_pixel = torch.stack(
        [
            *((ratio < 1.25**power).double() for power in (1, 2, 3)),
            difference.abs() / gt,
            difference.square() / gt,
            difference.square(),
            log_difference.square(),
            log_difference.abs() / math.log(10),
            # The mean of these squares is mean(e^2) - mean(e)^2, and never below 0.
            (log_difference - log_difference.sum() / count).square(),
        ]
    )
    means = per_pixel @ mask.double() / count
    d1, d2, d3, abs_rel, sq_rel, square, square_log, log10, variance = means.unbind()
    rmse, rmse_log, silog = square.sqrt(), square_log.sqrt(), 100 * variance.sqrt()
    return torch.stack([d1, d2, d3, abs_rel, sq_rel, rmse, rmse_log, log10, silog])


def eigen_mask(gt: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Eigen's crop of NYUv2, rows 45..470 and columns 41..600, where min_depth < gt < max_depth.

    Args:
        gt: true depth [..., 480, 640] in metres, 0 = missing.
        min_depth: excluded, as is `max_depth`.
        max_depth: 10 for NYUv2.

    Returns:
        bool, of the shape of `gt`.

    Raises:
        InputError: `gt` has another size, for which the crop is not defined.
    """
    if tuple(gt.shape[-2:]) != _NYU_SIZE:
        raise InputError(
            f"Eigen's crop is defined for truth of 480x640 pixels (height x width), got "
            f"{list(gt.shape)}: evaluate at full size, or with crop=None (KITTI: crop='garg')"
        )
    return valid_mask(gt, min_depth, max_depth) & _window(gt, rows=(45, 471), columns=(41, 601))


def garg_mask(gt: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Garg's crop of KITTI, fractions of the image's size, where min_depth < gt < max_depth.

    Args:
        gt: true depth [..., H, W] in metres, 0 = missing.
        min_depth: excluded, as is `max_depth`.
        max_depth: 80 for KITTI.

    Returns:
        bool, of the shape of `gt`.
    """
    height, width = gt.shape[-2:]
    rows = (int(0.40810811 * height), int(0.99189189 * height))
    columns = (int(0.03594771 * width), int(0.96405229 * width))
    return valid_mask(gt, min_depth, max_depth) & _window(gt, rows, columns)


def valid_mask(gt: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Every pixel where min_depth < gt < max_depth, without a crop: bool, of the shape of `gt`."""
    return (gt > min_depth) & (gt < max_depth)


def _window(gt: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    window = torch.zeros_like(gt, dtype=torch.bool)
    window[..., slice(*rows), slice(*columns)] = True
    return window
