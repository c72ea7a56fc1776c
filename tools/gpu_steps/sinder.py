"""SINDER on the larger ViT: seconds per step and peak memory, and that it comes off again."""

from __future__ import annotations

import time
from typing import Any

import torch

from gpu_steps.step import Check
from ttr_backbones.repairs import apply_repair, fit_repair, remove_repair

# A random ViT has no outliers: this takes patches that lie a little nearer to a direction than
# others for defects, so that every step trains.
_DEFECTS: dict[str, Any] = {
    "direction": "random",
    "rule": "std",
    "threshold": 1.0,
    "border": True,
    "minimum": 1,
}
_GB = 1e9


def run(check: Check) -> None:
    """Train a few steps on random images."""
    scale, cuda = check.scale, check.device.type == "cuda"
    size = scale.sizes[1]
    vit = scale.benched(scale.large).backbone().vit.to(check.device).eval()
    random = torch.Generator().manual_seed(0)
    images = torch.randn(scale.images, 3, size, size, generator=random)
    seen = images[:1].to(check.device)
    with torch.no_grad():
        before = vit(seen)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    ended: list[float] = []
    artifact = fit_repair(
        "sinder",
        vit,
        images,
        batch_size=1,
        steps=20 if cuda else 3,
        on_step=lambda *_: ended.append(time.perf_counter()),
        **_DEFECTS,
    )
    where = f"{scale.large}, {size} px, one image"
    if len(ended) > 1:  # the first step is warm-up
        check.record(f"{where}: seconds per step", (ended[-1] - ended[0]) / (len(ended) - 1))
    fit = artifact.provenance["fit"]
    check.record(f"{where}: steps that trained", len(ended))
    check.record(f"{where}: numbers trained", fit["parameters"])
    check.record(f"{where}: seconds in all, with the decompositions", fit["seconds"])
    if cuda:
        peak = torch.cuda.max_memory_allocated()
        check.record(f"{where}: peak memory", peak, f"{peak / _GB:.2f} GB")
    apply_repair(vit, artifact)
    with torch.no_grad():
        check.record("features that it changes", int((vit(seen) != before).sum()))
        remove_repair(vit)
        different = int((vit(seen) != before).sum())
    check.record("features that differ after it was taken off", different, goal="off")
