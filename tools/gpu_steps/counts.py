"""What Python waits for in a forward pass, and what the compiler makes of it."""

from __future__ import annotations

import torch

from gpu_steps.step import Check
from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.compile_counts import host_reads
from ttr_backbones.bench.contestants import AUTHORS, PLAIN, TOKEN, make_contestants
from ttr_backbones.bench.forward import forward_counts, forward_reads


def run(check: Check) -> None:
    """Count for all contestants; those that are the package's own have goals."""
    benched = check.scale.benched(check.scale.base)
    backbone = benched.backbone().to(check.device)
    small, large = check.scale.sizes
    images = torch.randn(2, 3, small, small, device=check.device)
    models = make_contestants(backbone, benched.chosen_neurons(backbone), images)
    for name, reads in forward_reads(models, images[:1]).items():
        goal = None if name in {PLAIN, AUTHORS} else "reads"
        check.record(f"values that Python waits for: {name}", reads, goal=goal)
    reads = _reads_as_trained(check, images)
    check.record("the same: as in a training, default precision", reads, goal="reads")
    other = torch.randn(2, 3, large, large, device=check.device)
    rehearsed = check.device.type == "cpu"  # tracing takes most of the time there
    for name, model in models.items():
        if rehearsed and name != TOKEN:
            continue
        count = forward_counts({name: model}, images, other)[name]
        text = f"{small} and {large} px in turn: {name}"
        check.record(f"graphs, {text}", count.graphs)
        ours = name not in {PLAIN, AUTHORS}
        check.record(f"breaks, {text}", count.breaks, goal="breaks" if ours else None)
        check.record(f"recompiled, {text}", count.recompiled, goal="recompiled" if ours else None)


def _reads_as_trained(check: Check, images: torch.Tensor) -> int:
    """A backbone as a config makes it, with an image that has to be padded."""
    backbone = TimmViT(
        check.scale.base, model_kwargs=check.scale.model_kwargs, out_indices=(-2, -1)
    ).to(check.device)
    odd = images[:, :, :-3]
    backbone(odd)
    return host_reads(lambda: backbone(odd), check.device)
