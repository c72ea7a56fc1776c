"""CorLoc: the share of images in which the box that was found covers an object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ttr_backbones.errors import InputError

Boxes = Tensor | ArrayLike


def corloc(
    pred_boxes: Sequence[Boxes], gt_boxes: Sequence[Boxes], *, threshold: float = 0.5
) -> float:
    """Return the percentage of images with a predicted box of IoU >= `threshold` with a true one.

    Arguments and errors are those of `corloc_hits`.
    """
    return float(100 * corloc_hits(pred_boxes, gt_boxes, threshold=threshold).mean())


def corloc_hits(
    pred_boxes: Sequence[Boxes], gt_boxes: Sequence[Boxes], *, threshold: float = 0.5
) -> NDArray[np.bool_]:
    """Return for every image whether a predicted box has an IoU >= `threshold` with a true one.

    The published protocol predicts one box per image (LOST, arXiv 2109.14279); with more, one that
    matches is enough, and an image without any is missed.

    Args:
        pred_boxes: for every image the predicted boxes, [M, 4] or [4], as x1, y1, x2, y2.
        gt_boxes: for every image the true boxes, likewise; at least one.
        threshold: the smallest IoU that counts. IoU is of plain areas, without + 1.

    Returns:
        One value per image, [N].

    Raises:
        InputError: unequal numbers of images, none at all, an image without a true box, or
            something that is no box.
    """
    if len(pred_boxes) != len(gt_boxes) or not len(gt_boxes):
        raise InputError(
            f"corloc expected predictions and ground truth of the same images, got "
            f"{len(pred_boxes)} and {len(gt_boxes)} of them"
        )
    pred = [_boxes(boxes, f"pred_boxes[{i}]") for i, boxes in enumerate(pred_boxes)]
    gt = [_boxes(boxes, f"gt_boxes[{i}]") for i, boxes in enumerate(gt_boxes)]
    num_pred, num_gt = (np.array([len(boxes) for boxes in side]) for side in (pred, gt))
    if not num_gt.all():
        raise InputError(
            f"{int((num_gt == 0).sum())} of {len(gt)} images have no true box, the first is image "
            f"{int(num_gt.argmin())}: CorLoc is not defined there. Leave such images out."
        )
    # Every predicted box of an image beside every true one of that image.
    pairs = num_pred * num_gt
    image = np.repeat(np.arange(len(gt)), pairs)
    within = np.arange(pairs.sum()) - np.repeat(pairs.cumsum() - pairs, pairs)
    pred_index = (num_pred.cumsum() - num_pred)[image] + within // num_gt[image]
    gt_index = (num_gt.cumsum() - num_gt)[image] + within % num_gt[image]
    found = np.zeros(len(gt), dtype=bool)
    hit = box_iou(np.concatenate(pred)[pred_index], np.concatenate(gt)[gt_index]) >= threshold
    found[image[hit]] = True
    return found


def box_iou(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return the IoU of boxes [..., 4] and [..., 4], which broadcast; 0 where both are empty."""
    first, second = (np.asarray(boxes, dtype=np.float64) for boxes in (first, second))
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clip(min=0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (first, second)]
    union = areas[0] + areas[1] - shared
    # A box with area has a union of at least that: only two empty ones divide by zero.
    return shared / np.where(union > 0, union, 1)


def _boxes(boxes: Boxes, name: str) -> NDArray[np.float64]:
    if isinstance(boxes, Tensor):
        boxes = boxes.detach().to("cpu", torch.float64)
    array = np.asarray(boxes, dtype=np.float64)
    if array.shape == (4,) or array.size == 0:
        array = array.reshape(-1, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(
            f"{name} has shape {list(array.shape)}: expected boxes [M, 4] or [4] as x1, y1, x2, y2"
        )
    if not (array[:, :2] <= array[:, 2:]).all():  # also where there is a NaN
        raise InputError(
            f"{name} holds an inverted box: expected x1 <= x2 and y1 <= y2, got {array.tolist()}. "
            "Boxes are corners, not x, y, width, height."
        )
    return array
