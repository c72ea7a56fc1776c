"""The neuron search: one pass, two passes, and as it is usually written."""

from __future__ import annotations

import torch

from gpu_steps.rows import record_rows
from gpu_steps.step import Check
from ttr_backbones.backbones import create_vit
from ttr_backbones.bench.search import ONE_PASS, USUAL, bench_search


def run(check: Check) -> None:
    """Search on random images."""
    scale = check.scale
    vit = create_vit(scale.base, model_kwargs=scale.model_kwargs).to(check.device).eval()
    size, batch = scale.sizes[0], scale.batches[0]
    random = torch.Generator().manual_seed(0)
    images = torch.randn(scale.images, 3, size, size, generator=random).to(check.device)
    rounds = min(scale.rounds, 3)  # the usual way is slow
    measured = bench_search(vit, images, batch_sizes=(batch,), rounds=rounds, log=print)
    same = measured.facts["same_neurons"]
    check.record("all ways find the same neurons", int(same), "yes" if same else "no", goal="same")
    where = f"{scale.base}, {scale.images} images of {size} px"
    record_rows(check, measured.rows, where, goals={ONE_PASS: "forwards"})
    seconds = {row.contestant: row.seconds for row in measured.rows}
    times = seconds[USUAL] / seconds[ONE_PASS]
    check.record(f"{where}: times as fast as usual", times, f"{times:.1f}", goal="as fast")
