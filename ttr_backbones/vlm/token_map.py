"""Which patches of the tower each image token of the language model holds.

Nothing is assumed about the order: numbered patches are sent through the model's own packing
(`pack_image_features`, `pixel_shuffle`), and where a number comes out is where its patch went.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.tokens import Grid
from ttr_backbones.vlm.tower import prefix_dropped


def image_token_id(model: Any) -> int:
    """The id that stands for image features in a prompt.

    Raises:
        InputError: the model has none.
    """
    for name in ("image_token_id", "image_token_index"):
        value = getattr(model.config, name, None)
        if isinstance(value, int):
            return value
    raise InputError(
        f"{type(model).__name__} has no image_token_id in its config: expected a model that puts "
        "image features where the prompt has image tokens, as LLaVA, LLaVA-NeXT or InternVL"
    )


def token_patches(model: Any, grid: Grid, num_tiles: int, image_size: Any, count: int) -> Tensor:
    """Patches of every image token of one image.

    Args:
        model: the vision-language model.
        grid: patches (h, w) of a tile.
        num_tiles: pictures that the tower is given of the image.
        image_size: (H, W) of the image in pixels, where the model asks for it (LLaVA-NeXT).
        count: image tokens N in the prompt, as the processor has put them.

    Returns:
        int64 [N, k]: flat indices over (tile, row, column) of the k patches of each token,
        -1 for a token without one (a newline, CLS).

    Raises:
        InputError: the model's packing gives another number of tokens, or is not known here.
    """
    inner: Any = getattr(model, "model", model)
    numbered = _numbered(model, grid, num_tiles)
    if hasattr(inner, "pack_image_features") and hasattr(inner, "image_newline"):
        if "vision_feature_select_strategy" not in _parameters(inner.pack_image_features):
            # LLaVA-OneVision's mixes patches of large images: numbers would not stay numbers.
            raise InputError(
                f"how {type(model).__name__} packs the patches of tiles is not known here: "
                "expected LLaVA, LLaVA-NeXT or InternVL"
            )
        patches = _packed(inner, numbered, image_size)
    elif hasattr(inner, "pixel_shuffle"):
        patches = _shuffled(inner, numbered)
    else:
        patches = numbered.flatten(0, 1)
    patches = patches.long() - 1
    if len(patches) != count:
        raise InputError(
            f"{type(model).__name__}: the prompt has {count} image tokens, the model's own packing "
            f"of {num_tiles} picture(s) of {grid[0]} x {grid[1]} patches gives {len(patches)}. "
            "Processor and model do not belong together, or how this model packs images is not "
            "known here (known: LLaVA's one token per patch, LLaVA-NeXT's tiles and newlines, "
            "InternVL's pixel shuffle)"
        )
    return patches


def _parameters(function: Any) -> Collection[str]:
    return inspect.signature(function).parameters.keys()


def _numbered(model: Any, grid: Grid, num_tiles: int) -> Tensor:
    """What the tower gives of each tile, patches numbered from 1 and its prefix 0, [T, n, 1].

    The first tokens are cut off as the model does it.
    """
    prefix, each = family_of(model).num_prefix(model), grid[0] * grid[1]
    numbers = torch.arange(1, num_tiles * each + 1, dtype=torch.float64).view(num_tiles, each, 1)
    tokens = torch.cat([numbers.new_zeros(num_tiles, prefix, 1), numbers], dim=1)
    return tokens[:, prefix_dropped(model) :]


def _packed(inner: Any, numbered: Tensor, image_size: Any) -> Tensor:
    """LLaVA-NeXT: the whole image, then the rows of all tiles without padding, each with a 0."""
    packed, _ = inner.pack_image_features(
        [numbered],
        torch.as_tensor(image_size).view(1, 2),
        vision_feature_select_strategy=inner.config.vision_feature_select_strategy,
        image_newline=numbered.new_zeros(1),
    )
    tokens: Tensor = packed[0]
    return tokens


def _shuffled(inner: Any, numbered: Tensor) -> Tensor:
    """InternVL: tile by tile; a square of patches in each token."""
    side = int(numbered.shape[1] ** 0.5)
    square = numbered.view(len(numbered), side, side, 1)
    mixed: Tensor = inner.pixel_shuffle(square, scale_factor=inner.config.downsample_ratio)
    return mixed.flatten(0, 2)
