"""Find a model's register neurons: Algorithm 1 of arXiv 2506.08010, streaming and batched.

For every image, the tokens whose norm at the detection block is above a threshold are its
outliers; a neuron's score is its mean |activation| over them, averaged over the images that have
any. The neurons with the largest scores, over all blocks together, are the register neurons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.images.finite import CountedImages, check_finite, naming_images
from ttr_backbones.images.processes import add_up, numbered_process_batches
from ttr_backbones.neuron_search.scan import Scan
from ttr_backbones.neuron_search.thresholds import RULES, NormHistogram, Rule
from ttr_backbones.vits.class_swap import has_test_time_registers
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.neurons import RegisterNeurons, mlp_width, model_name


class NoOutliersError(InputError):
    """The model shows no outlier tokens, so there are no register neurons to find."""


@dataclass(frozen=True)
class FoundNeurons(RegisterNeurons):
    """The best neurons, and the ranking they come from.

    Args:
        ranking: (block, unit, score) of every neuron with a score above 0, best first.
        threshold: norm above which a token counted as an outlier.
        detect_block: 0-based block after which norms were taken.
        num_images: images seen, over all processes.
        num_outliers: outlier tokens among them.
    """

    ranking: list[tuple[int, int, float]] = field(default_factory=list, compare=False)
    threshold: float = float("nan")
    detect_block: int = -1
    num_images: int = 0
    num_outliers: int = 0


def find_register_neurons(
    vit: nn.Module,
    images: Tensor | str | Path | Iterable[Tensor],
    detect_block: int = -1,
    threshold: float | Rule | None = None,
    top_block: int | None = None,
    top_k: int = 10,
    sparsity: bool = True,
    *,
    bottom_block: int = 0,
    include_cls: bool = False,
    batch_size: int = 8,
    memory_budget: int = 2**30,
    progress: Progress | None = None,
) -> FoundNeurons:
    """Rank all MLP units by their activation at outlier tokens.

    In a distributed job every process takes every world-size-th batch, the scores are added up, and
    all find the same.

    Args:
        vit: a timm ViT without test-time registers, in eval mode; left as it is.
        images: normalised images [B, 3, H, W], an iterable of such batches, or a folder.
        detect_block: block after which norms are taken; negative ones count back.
        threshold: a norm, or a rule ("gap", "mean_std", "median_mad") applied to the norms of all
            images, which takes one more pass; None is "gap".
        top_block: last block whose units are ranked; by default the detection block.
        top_k: number of neurons returned in `layers`.
        sparsity: drop a neuron's score on an image where it is on in most tokens (the published
            filter: fewer than half of all tokens below 0.5).
        bottom_block: first block whose units are ranked.
        include_cls: let CLS be an outlier too, as the authors' code does.
        batch_size: images per batch where `images` does not come in batches.
        memory_budget: bytes that the hidden activations of one batch may take. Where they would
            not fit, every batch runs twice: for its outliers, then block by block for the scores.
        progress: called with (images done, images in all or None) after every batch.

    Returns:
        The `top_k` best neurons with the full ranking.

    Raises:
        NoOutliersError: no token is an outlier.
        NonFiniteError: norms or activations that are NaN or infinite.
        InputError: an argument out of range, no image, or images that can be read only once where
            two passes are needed.
    """
    blocks = _block_range(vit, detect_block, bottom_block, top_block)
    detect = detect_block % len(family_of(vit).blocks(vit))
    if top_k < 1:
        raise InputError(f"top_k={top_k}: expected at least 1 neuron")
    batches = image_batches(images, vit, batch_size=batch_size, progress=progress)
    scan = Scan(vit, detect, include_cls=include_cls)
    value = _threshold(scan, batches, threshold)
    device = next(vit.parameters()).device
    # On the device: the host would wait for it at every block of every batch.
    sums: Any = {"dtype": torch.float64, "device": device}
    scores = {b: torch.zeros(mlp_width(vit, b), **sums) for b in blocks}
    counts = torch.zeros(3, **sums)  # images, images with outliers, outliers
    not_finite = CountedImages(batches, f"token norms after block {detect}")
    for first, batch in numbered_process_batches(batches):
        small = _hidden_bytes(vit, batch, blocks) <= memory_budget
        search = scan.in_one_pass if small else scan.in_two_passes
        mask, parts = search(batch, value, blocks, sparsity=sparsity)
        not_finite.add(first, scan.not_finite, mask.shape[1])
        for block, part in parts.items():
            scores[block] += part
        counts[0] += len(batch)
        counts[1] += mask.any(dim=1).sum()
        counts[2] += mask.sum()
    not_finite.check()
    check_finite({f"activations of block {b}": each for b, each in scores.items()})
    add_up([counts, *scores.values()], device)
    num_images, with_outliers, num_outliers = (int(count) for count in counts.tolist())
    if not with_outliers:
        raise NoOutliersError(
            f"none of {num_images} images has a token with a norm above {value:.4g} after block "
            f"{detect}: this model has no outliers there, and no register neurons to find. Try "
            "another detect_block (DINOv2 shows its outliers before the last block)"
        )
    ranking = _ranking(scores, with_outliers)
    best = ranking[:top_k]
    layers = {b: [u for block, u, _ in best if block == b] for b in {block for block, *_ in best}}
    return FoundNeurons(
        model=model_name(vit),
        layers=layers,
        ranking=ranking,
        threshold=value,
        detect_block=detect,
        num_images=num_images,
        num_outliers=num_outliers,
    )


def _threshold(scan: Scan, batches: ImageBatches, threshold: float | str | None) -> float:
    if isinstance(threshold, int | float):
        if not math.isfinite(threshold):
            raise InputError(f"threshold={threshold}: expected a finite norm, or a rule")
        return float(threshold)
    rule = threshold or "gap"
    if rule not in RULES:
        raise InputError(unknown_name("threshold rule", rule, RULES))
    if not batches.reiterable:
        raise InputError(
            f"the threshold rule {rule!r} needs a pass of its own over the images, and an iterator "
            "can be read only once: give a folder, a tensor or a list of batches, or a threshold"
        )
    norms = NormHistogram()
    for first, batch in numbered_process_batches(batches):
        with naming_images(batches, first):
            of_batch = scan.candidate_norms(batch).cpu()
            check_finite({f"token norms after block {scan.detect}": of_batch})
            norms.add(of_batch)
    add_up([norms.counts, norms.moments], next(scan.vit.parameters()).device)
    value = RULES[rule](norms)
    if value is None:
        raise NoOutliersError(
            f"the norms after block {scan.detect} have a single mode (median "
            f"{norms.median():.4g}) and no group far above it: this model has no outliers there, "
            "and no register neurons to find. Try another detect_block, or give a threshold"
        )
    return value


def _ranking(scores: dict[int, Tensor], num_images: int) -> list[tuple[int, int, float]]:
    """Sort by score; ties by block and unit, so that the order is always the same."""
    rows = [
        (block, unit, score / num_images)
        for block, values in scores.items()
        for unit, score in enumerate(values.tolist())
        if score > 0
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))


def _hidden_bytes(vit: nn.Module, batch: Tensor, blocks: range) -> int:
    """Bytes of the hidden activations of one batch over `blocks`."""
    family = family_of(vit)
    h, w = family.facts(vit).grid_of((batch.shape[2], batch.shape[3]))
    tokens = len(batch) * (h * w + family.num_prefix(vit))
    return tokens * sum(mlp_width(vit, b) for b in blocks) * batch.element_size()


def _block_range(
    vit: nn.Module, detect_block: int, bottom_block: int, top_block: int | None
) -> range:
    if has_test_time_registers(vit):
        raise InputError("this model has test-time registers: remove them before the search")
    depth = len(family_of(vit).blocks(vit))
    top = detect_block % depth if top_block is None else top_block
    for name, block in {"detect_block": detect_block, "top_block": top}.items():
        if not -depth <= block < depth:
            raise InputError(f"{name}={block}: the model has blocks 0..{depth - 1}")
    blocks = range(bottom_block % depth, top % depth + 1)
    if not blocks:
        raise InputError(f"no block from bottom_block={bottom_block} to top_block={top}")
    return blocks
