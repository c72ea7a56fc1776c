"""What images a model can take."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.family import family_of


def check_images(images: Any, vit: nn.Module, *, ndims: tuple[int, ...]) -> None:
    """Check that images are normalised, of a size that fits, and of a number of axes in `ndims`.

    Raises:
        InputError: they are not.
    """
    expected = "normalised images, " + " or ".join(
        "[B, 3, H, W]" if n == 4 else "[3, H, W]" for n in ndims
    )
    if not isinstance(images, Tensor):
        raise InputError(f"expected {expected}, got {type(images).__name__}")
    if images.ndim not in ndims or images.shape[-3] != family_of(vit).kernel(vit).shape[1]:
        raise InputError(f"expected {expected}, got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise InputError(
            f"expected {expected}, got {images.dtype}: normalise them as for the model"
        )
    if not images.isfinite().all():
        raise InputError(f"expected {expected}, got NaN or infinite values")
    check_size(vit, (images.shape[-2], images.shape[-1]))


def check_size(vit: nn.Module, size: tuple[int, int]) -> None:
    """Check that the model takes images of `size`, (H, W).

    Raises:
        InputError: no multiple of the patch, or the model is made for one size only.
    """
    facts = family_of(vit).facts(vit)
    if facts.only_this_size and size != facts.image_size:
        raise InputError(
            f"images of {size[0]} x {size[1]} pixels, but this model takes {facts.image_size[0]} x "
            f"{facts.image_size[1]} only: make it with dynamic_img_size=True"
        )
    for side, patch in zip(size, facts.patch_size, strict=True):
        if side % patch and not facts.pads:
            below = side - side % patch
            near = f"{below} or {below + patch}" if below else f"{patch}"
            raise InputError(
                f"size {side} is no multiple of the model's patch of {patch} pixels: use {near}"
            )
