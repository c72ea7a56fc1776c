"""Warns of images that are normalised unlike those that the checkpoint was trained on."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

SLACK = 0.05  # of the range: what resampling and colour augmentation may add to it


def check_input_once(backbone: Any, images: Tensor) -> None:
    """Warn at the first images of `backbone` if its mean and std cannot have made them.

    A backbone does not see who normalises its images. What it sees is that values lie where no
    pixel of 0..255 can come to lie; mean and std that only make them smaller are not noticed.
    Code that compares mean and std themselves (`CheckNormalization`) sets `input_checked`.

    Args:
        backbone: has `mean` and `std` per channel, on the scale 0..255, and `input_checked`.
        images: [B, 3, H, W], normalised.
    """
    # Neither a compiler's tensors nor fake ones have values.
    if type(images) is not Tensor or images.is_meta or torch.compiler.is_compiling():
        return
    if getattr(backbone, "input_checked", False):
        return
    backbone.input_checked = True
    if images.numel():
        problem = range_problem(images, backbone.mean, backbone.std)
        if problem is not None:
            print_log(problem, logger="current", level=logging.WARNING)


def range_problem(images: Tensor, mean: list[float], std: list[float]) -> str | None:
    """Return how values of `images` differ from what `mean` and `std` can give, or None."""
    seen = torch.stack([images.amin(dim=(0, 2, 3)), images.amax(dim=(0, 2, 3))]).float().cpu()
    edges = torch.tensor([[0.0], [255.0]])
    possible = (edges - torch.tensor(mean)) / torch.tensor(std)
    slack = SLACK * (possible[1] - possible[0])
    if not ((seen[0] < possible[0] - slack) | (seen[1] > possible[1] + slack)).any():
        return None
    return (
        "the images are not normalised as those that the backbone was trained on: with its mean "
        f"{_rounded(mean)} and std {_rounded(std)}, on the scale 0..255, their values lie between "
        f"{_rounded(possible[0].tolist())} and {_rounded(possible[1].tolist())}, and they lie "
        f"between {_rounded(seen[0].tolist())} and {_rounded(seen[1].tolist())}. Set "
        "model.data_preprocessor.mean and .std to the backbone's, unless the protocol you follow "
        "asks for this."
    )


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 2) for value in values]
