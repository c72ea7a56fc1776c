"""Photographs as a backbone takes them: whole or their central square, sides that fit the patch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.photos import read_rgb, read_square
from ttr_backbones.vits.family import family_of

Fit = Literal["whole", "square"]


def input_side(vit: nn.Module, size: int | None) -> int:
    """Short side of the inputs in pixels: `size`, by default the one the model was trained at.

    Raises:
        InputError: no multiple of the patch.
    """
    facts = family_of(vit).facts(vit)
    side = facts.image_size[1] if size is None else size
    patch = max(facts.patch_size)
    if side < 1 or side % patch:
        near = max(round(side / patch), 1) * patch
        raise InputError(f"size {side}: expected a multiple of the patch of {patch} px, as {near}")
    return side


def fitted_size(width: int, height: int, side: int, patch: tuple[int, int]) -> tuple[int, int]:
    """Size of a whole photograph as input, (width, height).

    The short side becomes `side`, the long one keeps the proportions to the nearest multiple of
    the patch: every patch of the input is a part of the photograph, nothing is padded or cut off.
    """
    scale = side / min(width, height)
    new_width = round(width * scale / patch[1]) * patch[1]
    new_height = round(height * scale / patch[0]) * patch[0]
    return new_width, new_height


def read_input(file: Path, side: int, patch: tuple[int, int], fit: Fit) -> Tensor:
    """Read a photograph, RGB, uint8 [3, H, W] (bicubic, antialiased, EXIF rotation applied).

    Raises:
        UnusablePhotoError: it cannot be decoded.
    """
    if fit == "square":
        return read_square(file, side)
    rgb = read_rgb(file)
    resized = rgb.resize(fitted_size(*rgb.size, side, patch), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)
