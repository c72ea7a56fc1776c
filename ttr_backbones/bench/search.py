"""Speed of the neuron search, beside plain forward passes and beside the usual way to write one.

Images are in memory and normalised before the clock starts. All contestants run in turn, round
after round; a ratio compares two runs of the same round, and medians are over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ttr_backbones.bench.timing import seconds_of
from ttr_backbones.errors import InputError
from ttr_backbones.registers.outliers import token_norms
from ttr_backbones.registers.scan import SPARSE_BELOW, SPARSE_SHARE, reading
from ttr_backbones.registers.search import find_register_neurons

PLAIN, ONE_PASS, TWO_PASSES = "plain forward passes", "search, one pass", "search, two passes"
USUAL = "one image at a time, everything to the CPU"
GOALS = {ONE_PASS: 1.3, TWO_PASSES: 2.0}  # plain forwards per image
OUTLIER_SHARE = 0.02  # of the patches, as in real models
TOP_K = 10


@dataclass(frozen=True)
class Timing:
    """One contestant.

    Args:
        images_per_second: median over the rounds.
        forwards: time per image in plain forward passes of the same round, median.
        goal: the most forwards it may take; None where there is no goal.
    """

    images_per_second: float
    forwards: float
    goal: float | None


@dataclass(frozen=True)
class SearchBench:
    """The contestants by name, and whether all searches found the same neurons."""

    timings: dict[str, Timing]
    speedup: dict[str, float]  # of one and two passes over the usual way, medians of paired rounds
    same_neurons: bool


def bench_search(
    vit: VisionTransformer, images: Tensor, *, batch_size: int = 8, rounds: int = 5
) -> SearchBench:
    """Time the search on normalised images [B, 3, H, W] on the device of `vit`.

    The threshold is the norm that 2 % of the patches exceed, so that random weights will do: the
    work does not depend on their values.

    Raises:
        InputError: no round to run.
    """
    if rounds < 1:
        raise InputError(f"rounds={rounds}: expected at least 1")
    threshold = _threshold(vit, images, batch_size)

    def search(memory_budget: int) -> list[tuple[int, int]]:
        found = find_register_neurons(
            vit,
            images,
            threshold=threshold,
            top_k=TOP_K,
            batch_size=batch_size,
            memory_budget=memory_budget,
        )
        return [(block, unit) for block, unit, _ in found.ranking[:TOP_K]]

    contestants: dict[str, Callable[[], list[tuple[int, int]] | None]] = {
        PLAIN: lambda: plain_forwards(vit, images, batch_size),
        ONE_PASS: lambda: search(2**62),
        TWO_PASSES: lambda: search(0),
        USUAL: lambda: usual_search(vit, images, threshold)[:TOP_K],
    }
    tops = [run() for name, run in contestants.items() if name != PLAIN]  # and warms up
    plain_forwards(vit, images, batch_size)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for index in range(rounds):
        names = list(contestants)
        for name in names[index % len(names) :] + names[: index % len(names)]:
            seconds[name].append(seconds_of(contestants[name], images.device))
    return SearchBench(
        timings={
            name: Timing(
                images_per_second=len(images) / median(taken),
                forwards=_paired(taken, seconds[PLAIN]),
                goal=GOALS.get(name),
            )
            for name, taken in seconds.items()
        },
        speedup={name: _paired(seconds[USUAL], seconds[name]) for name in (ONE_PASS, TWO_PASSES)},
        same_neurons=all(set(top or []) == set(tops[0] or []) for top in tops),
    )


@torch.no_grad()
def plain_forwards(vit: VisionTransformer, images: Tensor, batch_size: int) -> None:
    """Only run the model."""
    for batch in images.split(batch_size):
        vit.forward_features(batch)


@torch.no_grad()
def usual_search(vit: VisionTransformer, images: Tensor, threshold: float) -> list[tuple[int, int]]:
    """Search as such code is usually written: record all, copy it to the CPU, then look.

    Returns:
        (block, unit), best first.
    """
    blocks = range(len(vit.blocks))
    first_patch = vit.num_prefix_tokens
    total, counted = torch.zeros(0), 0
    for image in images.split(1):
        hidden: dict[int, Tensor] = {}
        outputs: list[Tensor] = []

        def keep(block: int, values: Tensor, kept: dict[int, Tensor] = hidden) -> None:
            kept[block] = values.cpu()

        hook = vit.blocks[-1].register_forward_hook(
            lambda _, __, tokens, kept=outputs: kept.append(tokens.cpu())
        )
        try:
            with reading(vit, blocks, keep):
                vit.forward_features(image)
        finally:
            hook.remove()
        outlier = token_norms(outputs[0][0]) > threshold  # [N]
        outlier[:first_patch] = False
        if not outlier.any():
            continue
        activations = torch.stack([hidden[block][0] for block in blocks])  # [L, N, D]
        scores = activations[:, outlier].abs().mean(dim=1)
        sparse = (activations < SPARSE_BELOW).float().mean(dim=1) >= SPARSE_SHARE
        total = scores * sparse + (total if counted else 0)
        counted += 1
    width = total.shape[1]
    return [divmod(flat, width) for flat in total.flatten().argsort(descending=True).tolist()]


@torch.no_grad()
def _threshold(vit: VisionTransformer, images: Tensor, batch_size: int) -> float:
    norms: list[Tensor] = []
    hook = vit.blocks[-1].register_forward_hook(
        lambda _, __, tokens: norms.append(token_norms(tokens[:, vit.num_prefix_tokens :]))
    )
    try:
        plain_forwards(vit, images, batch_size)
    finally:
        hook.remove()
    flat = torch.cat(norms).flatten()
    return flat.kthvalue(int((1 - OUTLIER_SHARE) * len(flat))).values.item()


def _paired(one: list[float], other: list[float]) -> float:
    return median(a / b for a, b in zip(one, other, strict=True))
