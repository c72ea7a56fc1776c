"""`ttrb bench object-discovery`: LOST after the backbone, beside the usual way to write it.

The backbone runs first; both contestants get the same features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import torch
from torch import Tensor

from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.cost import cost_of
from ttr_backbones.bench.rounds import Log, measure, silent
from ttr_backbones.bench.row import BenchRow, Contestant, Cost, Measured, patch_tokens
from ttr_backbones.object_discovery import lost_batch

BACKBONE, BATCHED, USUAL = "backbone", "LOST, batched", "usual: one image at a time, on CPU"
REST = 0.1  # seconds; numpy's threads keep a core busy for a while after their last product
GOAL = {"cpu": 1.0, "cuda": 0.2}  # time of batched over usual
GOAL_SHARE = {"cuda": 0.15}  # of the whole run that is not the backbone


@torch.no_grad()
def bench_object_discovery(
    backbone: TimmViT,
    images: Tensor,
    *,
    batch_sizes: Sequence[int] = (8,),
    rounds: int = 5,
    log: Log = silent,
) -> Measured:
    """Time LOST on normalised images [M, 3, H, W] on the device of the backbone.

    Args:
        backbone: gives one map of features.
        images: in memory.
        batch_sizes: images at a time; the usual way takes one whatever it is.
        rounds: medians are over these.
        log: called with lines of progress.

    Raises:
        InputError: no round to run.
    """
    rows: list[BenchRow] = []
    facts: dict[str, Any] = {"images": len(images), "same_boxes": {}, "share": {}}
    notes: list[str] = []
    tokens = patch_tokens(len(images), images.shape[2:], backbone.patch_size)
    held = [*backbone.parameters(), images]
    for batch_size in batch_sizes:
        runs = _runs(backbone, images, batch_size)
        boxes = torch.cat(runs[BATCHED]()).tolist()
        same = sum(box == other for box, other in zip(boxes, runs[USUAL](), strict=True))
        contestants = [
            Contestant(
                name,
                run,
                images=len(images),
                batch_size=batch_size,
                against=None if name == BACKBONE else USUAL,
                goal=GOAL.get(images.device.type) if name == BATCHED else None,
                tokens=tokens,
                # numpy's memory is not seen.
                cost=Cost if name == USUAL else partial(cost_of, run, held, images.device),
            )
            for name, run in runs.items()
        ]
        rows += measure(
            "object-discovery",
            contestants,
            images.device,
            rounds=rounds,
            rest=REST,
            log=log,
        )
        share = _share(rows[-len(runs) :])
        facts["same_boxes"][batch_size], facts["share"][batch_size] = same, share
        goal = GOAL_SHARE.get(images.device.type)
        notes.append(
            f"object-discovery: batches of {batch_size}: {100 * share:.1f} % of backbone and "
            "batched LOST is not the backbone"
            f"{f' (goal: at most {100 * goal:g} %)' if goal else ''}; {same} of "
            f"{len(images)} images have the same box both ways"
        )
    setting = {"images": len(images), "size": images.shape[2], "rounds": rounds}
    return Measured("object-discovery", setting, rows, notes, facts)


def _runs(backbone: TimmViT, images: Tensor, batch_size: int) -> dict[str, Callable[[], Any]]:
    batches = images.split(batch_size)
    maps = [backbone(batch)[0] for batch in batches]
    feats = [x.flatten(2).transpose(1, 2) for x in maps]
    h, w = maps[0].shape[2:]
    size = (images.shape[2], images.shape[3])
    place: dict[str, Any] = {"grid": (h, w), "patch": backbone.patch_size, "image_size": size}
    return {
        BACKBONE: lambda: [backbone(batch)[0] for batch in batches],
        BATCHED: lambda: [lost_batch(batch, **place).boxes for batch in feats],
        USUAL: lambda: [usual_lost(f.cpu().numpy(), **place)[0] for b in feats for f in b],
    }


def _share(rows: Sequence[BenchRow]) -> float:
    """Of backbone and batched LOST together, what is not the backbone."""
    seconds = {row.contestant: row.seconds for row in rows}
    return seconds[BATCHED] / (seconds[BACKBONE] + seconds[BATCHED])


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
