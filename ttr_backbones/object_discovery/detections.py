"""Inputs and outputs of the methods of object discovery, and the steps that they share.

A method scores and picks patches for a whole batch on the features' own device. Then the picked
patches become boxes, with one transfer to the CPU for the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.object_discovery.components import boxes_around, seed_components

MOST_PAIRS = 2**24
"""A method compares at most so many pairs of patches at once: 64 MiB per float32 matrix."""


class Geometry(NamedTuple):
    """How a grid of patches lies on an image.

    Attributes:
        grid: rows and columns of patches, (h, w).
        patch: height and width of a patch in pixels.
        image_size: (H, W) of the image before it was padded right and at the bottom.
    """

    grid: tuple[int, int]
    patch: tuple[int, int]
    image_size: tuple[int, int]


class Detection(NamedTuple):
    """The object of one image.

    Attributes:
        box: x1, y1, x2, y2 in pixels, the right and bottom ends excluded, int64 [4].
        seed: flat (row-major) index of the seed patch.
        degrees: the method's score of every patch, lowest at the seed, [N].
    """

    box: Tensor
    seed: int
    degrees: Tensor


class Detections(NamedTuple):
    """The objects of a batch, on the features' device.

    Attributes:
        boxes: as in `Detection`, int64 [B, 4].
        seeds: int64 [B].
        degrees: [B, N].
        collapsed: where the method had nothing to choose by, so that the seed means nothing, [B].
    """

    boxes: Tensor
    seeds: Tensor
    degrees: Tensor
    collapsed: Tensor


class Picked(NamedTuple):
    """What a method gives for some images: `Detections` with masks [B, N] in place of boxes."""

    masks: Tensor
    seeds: Tensor
    degrees: Tensor
    collapsed: Tensor


def check_feats(feats: Tensor, geometry: Geometry) -> Tensor:
    """Return features [B, N, C] in float32.

    Raises:
        InputError: the features do not fit the grid, or the grid does not fit the image.
    """
    if feats.ndim != 3 or not feats.is_floating_point() or 0 in feats.shape:
        raise InputError(
            f"feats: expected floating-point features [B, N, C], got {feats.dtype} "
            f"{tuple(feats.shape)}"
        )
    (h, w), patch, size = geometry
    num = feats.shape[1]
    if h * w != num:
        raise InputError(
            f"feats hold {num} patches, but grid=({h}, {w}) has {h * w}: give the patch tokens "
            "alone, without CLS and registers, and the grid as (rows, columns)"
        )
    if min(patch) < 1 or size[0] <= (h - 1) * patch[0] or size[1] <= (w - 1) * patch[1]:
        raise InputError(
            f"image_size={tuple(size)} does not reach the last row or column of a {h} x {w} grid "
            f"of patches of {patch[0]} x {patch[1]} pixels: give (height, width) of the image "
            "before padding"
        )
    return feats.float()


def to_boxes(picked: Picked, feats: Tensor, geometry: Geometry) -> Detections:
    """Put a box around the component of each mask that holds the seed.

    Raises:
        InputError: NaN or infinity among the features.
    """
    masks, seeds, degrees, collapsed = picked
    # A sum is finite only if all of its terms are.
    finite = feats.sum(dim=(1, 2), dtype=torch.float32).isfinite()
    on_cpu = masks.unflatten(1, geometry.grid).cpu().numpy()  # the one wait for the device
    if not bool(finite.all()):
        bad = (~finite).nonzero().flatten().tolist()
        raise InputError(
            f"the features of image {', '.join(map(str, bad))} of the batch hold NaN or infinity: "
            "look at the weights, or run the backbone in float32"
        )
    components = seed_components(on_cpu, seeds.cpu().numpy())
    boxes = boxes_around(components, geometry.patch, geometry.image_size)
    return Detections(torch.from_numpy(boxes).to(feats.device), seeds, degrees, collapsed)


def first_detection(found: Detections) -> Detection:
    """Return the object of a batch of one."""
    return Detection(found.boxes[0], int(found.seeds[0]), found.degrees[0])


def as_batch(feats: Tensor) -> Tensor:
    """Turn the features [N, C] of one image into a batch of one."""
    if feats.ndim != 2:
        raise InputError(f"feats: expected one image's features [N, C], got {tuple(feats.shape)}")
    return feats[None]
