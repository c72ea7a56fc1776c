"""Speed of object discovery after the backbone, beside the usual way to write it.

The backbone runs first; both contestants get the same features. They run in turn, round after
round; a ratio compares two runs of the same round, and medians are over the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import torch
from torch import Tensor

from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.timing import seconds_of
from ttr_backbones.errors import InputError
from ttr_backbones.object_discovery import lost_batch

BACKBONE, BATCHED, USUAL = "backbone", "LOST, batched", "LOST, one image at a time on the CPU"
REST = 0.1  # seconds; numpy's threads keep a core busy for a while after their last product
GOAL_SPEEDUP = {"cpu": 1.0, "cuda": 5.0}  # batched over usual
GOAL_SHARE = {"cuda": 0.15}  # of the whole run that is not the backbone


@dataclass(frozen=True)
class DiscoveryBench:
    """What was measured.

    Args:
        images_per_second: by contestant, median over the rounds.
        speedup: of the batched form over the usual one, median of paired rounds.
        goal_speedup: the least it should be on this device; None where there is no goal.
        share: of backbone and batched LOST together, what is not the backbone; median.
        goal_share: the most it should be; None where there is no goal.
        same_boxes: number of images for which both give the same box.
        num_images: number of all.
    """

    images_per_second: dict[str, float]
    speedup: float
    goal_speedup: float | None
    share: float
    goal_share: float | None
    same_boxes: int
    num_images: int


@torch.no_grad()
def bench_discovery(
    backbone: TimmViT, images: Tensor, *, batch_size: int = 8, rounds: int = 5
) -> DiscoveryBench:
    """Time LOST on normalised images [B, 3, H, W] on the device of the backbone.

    Raises:
        InputError: no round to run.
    """
    if rounds < 1:
        raise InputError(f"rounds={rounds}: expected at least 1")
    batches = images.split(batch_size)
    maps = [backbone(batch)[0] for batch in batches]
    feats = [x.flatten(2).transpose(1, 2) for x in maps]
    h, w = maps[0].shape[2:]
    size = (images.shape[2], images.shape[3])
    place: dict[str, Any] = {"grid": (h, w), "patch": backbone.patch_size, "image_size": size}
    contestants: dict[str, Callable[[], Any]] = {
        BACKBONE: lambda: [backbone(batch)[0] for batch in batches],
        BATCHED: lambda: [lost_batch(batch, **place).boxes for batch in feats],
        USUAL: lambda: [usual_lost(f.cpu().numpy(), **place)[0] for b in feats for f in b],
    }
    boxes = torch.cat(contestants[BATCHED]()).tolist()  # and warms up
    usual = contestants[USUAL]()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for index in range(rounds):
        names = list(contestants)
        for name in names[index % len(names) :] + names[: index % len(names)]:
            time.sleep(REST)
            seconds[name].append(seconds_of(contestants[name], images.device))
    paired = list(zip(seconds[BACKBONE], seconds[BATCHED], seconds[USUAL], strict=True))
    kind = images.device.type
    return DiscoveryBench(
        images_per_second={name: len(images) / median(taken) for name, taken in seconds.items()},
        speedup=median(loop / batched for _, batched, loop in paired),
        goal_speedup=GOAL_SPEEDUP.get(kind),
        share=median(batched / (vit + batched) for vit, batched, _ in paired),
        goal_share=GOAL_SHARE.get(kind),
        same_boxes=sum(box == other for box, other in zip(boxes, usual, strict=True)),
        num_images=len(images),
    )


def usual_lost(
    feats: npt.NDArray[np.floating[Any]],
    grid: tuple[int, int],
    patch: tuple[int, int],
    image_size: tuple[int, int],
    k: int = 100,
    bias: float = 0.0,
) -> tuple[list[int], int, npt.NDArray[np.int64]]:
    """LOST as it is usually written: numpy and scipy, one image's features [N, C] at a time.

    Returns:
        Box, seed and degrees [N].
    """
    similar = feats @ feats.T + feats.dtype.type(bias)
    others = similar.copy()
    np.fill_diagonal(others, 0)
    degrees = (others > 0).sum(axis=1)
    order = np.argsort(degrees, kind="stable")
    seed = order[0]
    potential = order[:k]
    helpers = potential[similar[seed, potential] > 0]
    mask = similar[helpers].sum(axis=0) > 0
    labels, _ = scipy.ndimage.label(mask.reshape(grid))
    rows, columns = np.where(labels == labels[np.unravel_index(seed, grid)])
    right = min((columns.max() + 1) * patch[1], image_size[1])
    bottom = min((rows.max() + 1) * patch[0], image_size[0])
    box = [columns.min() * patch[1], rows.min() * patch[0], right, bottom]
    return [int(edge) for edge in box], int(seed), degrees
