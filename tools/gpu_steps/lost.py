"""LOST on a batch, against one image at a time on the CPU."""

from __future__ import annotations

import torch

from gpu_steps.rows import record_rows
from gpu_steps.step import Check
from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.object_discovery import BACKBONE, BATCHED, USUAL, bench_object_discovery


def run(check: Check) -> None:
    """Find objects in random images."""
    scale = check.scale
    backbone = TimmViT(scale.base, model_kwargs=scale.model_kwargs, facet="key", pad="corner")
    backbone.to(check.device)
    size, batch = scale.sizes[1], scale.batches[0]
    random = torch.Generator().manual_seed(0)
    images = torch.randn(scale.images, 3, size, size, generator=random).to(check.device)
    rounds = min(scale.rounds, 3)
    measured = bench_object_discovery(
        backbone, images, batch_sizes=(batch,), rounds=rounds, log=print
    )
    seconds = {row.contestant: row.seconds for row in measured.rows}
    where = f"{scale.base}, {scale.images} images of {size} px"
    times = seconds[USUAL] / seconds[BATCHED]
    check.record(f"{where}: times as fast as usual", times, f"{times:.1f}", goal="as fast")
    share = seconds[BATCHED] / (seconds[BACKBONE] + seconds[BATCHED])
    check.record(f"{where}: share of the whole", share, f"{100 * share:.1f} %", goal="share")
    same = measured.facts["same_boxes"][batch]
    check.record("same boxes both ways", same, f"{same} of {scale.images}")
    record_rows(check, measured.rows, where)
