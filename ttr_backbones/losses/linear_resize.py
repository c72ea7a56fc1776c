"""Torch's linear resize of an axis: as a matrix, and as stretches of equal steps."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# So many products in a row lose less than half a digit of float32.
_LONGEST = 16
# A step multiplies by up to 2 ** (0.5 * 220): more than this could leave the range of float32.
_STEEPEST = 0.5


class Pixels(NamedTuple):
    """Those of an axis that count: every `stride`-th of `length` from `first` on."""

    length: int
    first: int
    stride: int


class Stretch(NamedTuple):
    """Pixels between the same two cells of the grid, whose weights go up in equal steps.

    Pixel `first` + j is (1 - t) times cell `upper` and t times cell `lower`, with
    t = `start` + j `step`.
    """

    upper: int
    lower: int
    first: int
    pixels: int
    start: float
    step: float


@lru_cache(maxsize=64)
def resize_matrix(
    before: int, after: Pixels, align_corners: bool, dtype: torch.dtype, device: torch.device
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


def resize_positions(before: int, after: Pixels, *, align_corners: bool) -> Tensor:
    """Where the pixels lie on the grid, in cells from 0 to before - 1: float64 [pixels]."""
    cpu = torch.device("cpu")
    matrix, _ = resize_matrix(before, after, align_corners, torch.float64, cpu)
    return matrix @ torch.arange(before, dtype=torch.float64)


@lru_cache(maxsize=64)
def resize_stretches(before: int, after: Pixels, *, align_corners: bool) -> list[Stretch]:
    """All pixels in their order, as stretches of at most 16, in steps of at most 0.5."""
    made: list[Stretch] = []
    positions = resize_positions(before, after, align_corners=align_corners).tolist()
    for pixel, position in enumerate(positions):
        upper = max(0, min(int(position), before - 2))
        at = position - upper
        if made and made[-1].upper == upper and made[-1].pixels < _LONGEST:
            last = made[-1]
            step = last.step if last.pixels > 1 else at - last.start
            if step <= _STEEPEST and abs(last.start + last.pixels * step - at) < 1e-9:
                made[-1] = last._replace(pixels=last.pixels + 1, step=step)
                continue
        made.append(Stretch(upper, min(upper + 1, before - 1), pixel, 1, at, 0.0))
    return made
