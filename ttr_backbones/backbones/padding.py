"""Pad an image to a multiple of the patch, and cut a feature map back to the image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.errors import InputError

Pad = Literal["center", "corner"]
Margins = tuple[int, int, int, int]


def margins(size: tuple[int, int], patch: tuple[int, int], mode: Pad | None) -> Margins:
    """Pixels to add at (left, right, top, bottom) so that H and W are multiples of the patch.

    `center` spreads them evenly, the odd pixel right and at the bottom (DINOv2's CenterPadding);
    `corner` adds all of them right and at the bottom.

    Raises:
        InputError: padding is off and the size is no multiple.
    """
    missing_h, missing_w = (-size[0] % patch[0], -size[1] % patch[1])
    if mode is None and (missing_h or missing_w):
        raise InputError(
            f"input of {size[0]} x {size[1]} pixels is no multiple of the {patch[0]} x {patch[1]} "
            "patch and pad=None: resize or crop it, or set pad to 'center' or 'corner'"
        )
    left, top = (missing_w // 2, missing_h // 2) if mode == "center" else (0, 0)
    return left, missing_w - left, top, missing_h - top


def pad_image(x: Tensor, around: Margins) -> Tensor:
    """Surround images [B, 3, H, W] with zeros."""
    return F.pad(x, around) if any(around) else x


def crop_map(x: Tensor, around: Margins, patch: tuple[int, int]) -> Tensor:
    """Resample a map [B, C, h, w] of a padded image onto the window of the image itself.

    The grid keeps its size; bilinear, so that a head that resizes the result to the image's size
    is aligned with the image.
    """
    if not any(around):
        return x
    left, right, top, bottom = around
    h, w = x.shape[2:]
    xs = _centres(w, left, right, patch[1], x)
    ys = _centres(h, top, bottom, patch[0], x)
    grid = torch.stack([xs.expand(h, w), ys[:, None].expand(h, w)], dim=2)
    grid = grid.expand(len(x), h, w, 2)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _centres(num: int, before: int, after: int, patch: int, like: Tensor) -> Tensor:
    """Centres of `num` equal cells of the image's side, in a padded side that is [-1, 1]; [num].

    Computed on the device: a matrix made of Python numbers would have to be copied there.
    """
    padded = num * patch
    centres = (2 * torch.arange(num, device=like.device, dtype=like.dtype) + 1) / num - 1
    return centres * (1 - (before + after) / padded) + (before - after) / padded
