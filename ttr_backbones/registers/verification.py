"""Measure what moving a list of neurons does to a model, against stated bounds.

Every batch runs twice, without and with test-time registers; nothing is kept of it but sums.
In a distributed job every process takes every world-size-th batch, and all get the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.registers.apply import add_test_time_registers
from ttr_backbones.registers.images import ImageBatches, Progress, image_batches
from ttr_backbones.registers.mixin import remove_test_time_registers
from ttr_backbones.registers.neurons import RegisterNeurons
from ttr_backbones.registers.onset import find_onset
from ttr_backbones.registers.outliers import token_norms
from ttr_backbones.registers.processes import add_up, own_batches, take_largest
from ttr_backbones.registers.search import NoOutliersError
from ttr_backbones.registers.tokens import forward_with_registers


@dataclass(frozen=True)
class Bounds:
    """What a list has to reach.

    The last two were set on one checkpoint, `vit_tiny_patch16_224`: its two neurons moved give 0.98
    and 0.90 there, only clearing them gives 0.89 to 0.90 and 0.67 to 0.76.

    Args:
        remaining: at most this share of the outliers is left.
        cosine: clean patches are at least so similar to what they were.
        top1_agreement: the classifier gives at least this share of images the class it gave before.
    """

    remaining: float = 0.01
    cosine: float = 0.9
    top1_agreement: float = 0.8


@dataclass(frozen=True)
class Verification:
    """A model without and with test-time registers on the same images.

    Args:
        num: number of registers.
        num_images: images seen.
        num_patches: their patches.
        detect_block: 0-based block after which norms were taken.
        threshold: norm above which a patch counted as an outlier.
        outliers_before: share of all patches that are outliers without registers.
        outliers_after: the same with them.
        largest_before: largest patch norm without registers.
        largest_after: the same with them.
        register_norm: norm of the registers, mean over the images; NaN without any.
        cosine: mean cosine similarity of the final features of all patches that were no outliers
            to what they were.
        top1_agreement: share of images whose top-1 class stays; None without a classifier.
        bounds: what `passed` compares with.
    """

    num: int
    num_images: int
    num_patches: int
    detect_block: int
    threshold: float
    outliers_before: float
    outliers_after: float
    largest_before: float
    largest_after: float
    register_norm: float
    cosine: float
    top1_agreement: float | None
    bounds: Bounds = Bounds()

    @property
    def remaining(self) -> float:
        """Share of the outliers that is left."""
        return self.outliers_after / self.outliers_before

    @property
    def checks(self) -> dict[str, bool]:
        """Each bound by its name in `Bounds`, and whether it holds."""
        holds = {
            "remaining": self.remaining <= self.bounds.remaining,
            "cosine": self.cosine >= self.bounds.cosine,
        }
        if self.top1_agreement is not None:
            holds["top1_agreement"] = self.top1_agreement >= self.bounds.top1_agreement
        return holds

    @property
    def passed(self) -> bool:
        """Whether every bound holds."""
        return all(self.checks.values())


def verify_neurons(
    vit: VisionTransformer,
    neurons: RegisterNeurons,
    images: Tensor | str | Path | Iterable[Any] | ImageBatches,
    *,
    threshold: float | None = None,
    detect_block: int | None = None,
    num: int = 1,
    bounds: Bounds | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Verification:
    """Move `neurons` to `num` registers and measure the outliers and everything else.

    Args:
        vit: a timm ViT without test-time registers, in eval mode; left as it is.
        neurons: the list.
        images: whatever `image_batches` takes.
        threshold: norm above which a patch is an outlier; together with `detect_block`.
        detect_block: block after which norms are taken, negative ones count back. By default both
            are found as in `find_onset`, which takes a pass of its own over the images.
        num: number of registers; 0 only clears the neurons.
        bounds: what counts as passed.
        batch_size: images per batch.
        progress: told (images done, images in all or None) after every batch.

    Raises:
        NoOutliersError: the model has no outliers on these images, so there is nothing to verify.
        InputError: the list is of another model; images that cannot be used; only one of
            `threshold` and `detect_block`.
    """
    neurons.check(vit)
    batches = image_batches(images, vit, batch_size=batch_size, progress=progress)
    if threshold is None and detect_block is None:
        batches.require_reiterable("finding the threshold")
        onset = find_onset(vit, batches)
        threshold, detect_block = onset.threshold, onset.detect
    if threshold is None or detect_block is None:
        raise InputError("give threshold and detect_block together, or neither to have them found")
    depth = len(vit.blocks)
    if not -depth <= detect_block < depth:
        raise InputError(f"detect_block={detect_block}: the model has blocks 0..{depth - 1}")
    measured = _Measured(threshold)
    for batch in own_batches(batches):
        before = look(vit, batch, detect_block % depth)
        with _registers(vit, neurons, num):
            after = look(vit, batch, detect_block % depth)
        measured.add(before, after)
    device = next(vit.parameters()).device
    add_up([measured.sums], device)
    take_largest([measured.largest], device)
    seen = measured.verification(num, detect_block % depth, bounds or Bounds())
    if not seen.outliers_before:
        raise NoOutliersError(
            f"none of {seen.num_images} images has a patch with a norm above {threshold:.4g} after "
            f"block {detect_block % depth}: nothing to verify"
        )
    return seen if has_classifier(vit) else replace(seen, top1_agreement=None)


@dataclass
class Look:
    """One forward pass: norms and final features of the patches, registers' norms, classes."""

    norms: Tensor  # [B, N]
    features: Tensor  # [B, N, C]
    register_norms: Tensor  # [B, R]
    classes: Tensor  # [B], all 0 without a classifier


@torch.no_grad()
def look(vit: VisionTransformer, batch: Tensor, block: int) -> Look:
    """Run a batch once; norms are taken after `block`.

    Args:
        vit: the model, with or without registers.
        batch: [B, 3, H, W].
        block: 0-based.
    """
    final, (tokens,) = forward_with_registers(vit, batch, [block])
    classes = vit.forward_head(final).argmax(dim=1) if has_classifier(vit) else None
    return Look(
        token_norms(tokens.patches),
        final[:, vit.num_prefix_tokens :],
        token_norms(tokens.registers),
        batch.new_zeros(len(batch)) if classes is None else classes,
    )


def has_classifier(vit: VisionTransformer) -> bool:
    """Whether the head gives classes: zero-shot CLIPs in timm have their projection there."""
    cfg = getattr(vit, "pretrained_cfg", None) or {}
    clip = "_clip_" in str(cfg.get("architecture"))
    return vit.num_classes > 0 and (not clip or "ft_in" in str(cfg.get("tag")))


@contextmanager
def _registers(vit: VisionTransformer, neurons: RegisterNeurons, num: int) -> Iterator[None]:
    add_test_time_registers(vit, neurons, num)
    try:
        yield
    finally:
        remove_test_time_registers(vit)


class _Measured:
    """What is kept of the batches seen so far: sums that several processes can add up.

    Attributes:
        sums: of images, patches, outliers without and with registers, the registers' norms (means
            per image), cosines of the patches that were no outliers, and images that keep their
            class; float64 [7].
        largest: patch norms without and with registers, float64 [2].
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.sums = torch.zeros(7, dtype=torch.float64)
        self.largest = torch.zeros(2, dtype=torch.float64)

    def add(self, before: Look, after: Look) -> None:
        outliers = before.norms > self.threshold
        cosines = F.cosine_similarity(before.features.float(), after.features.float(), dim=2)
        sums = [
            outliers.new_tensor(len(outliers), dtype=torch.float64),
            outliers.new_tensor(outliers.numel(), dtype=torch.float64),
            outliers.sum(),
            (after.norms > self.threshold).sum(),
            after.register_norms.mean(dim=1).sum(),
            cosines[~outliers].double().sum(),
            (before.classes == after.classes).sum(),
        ]
        self.sums += torch.stack([value.double() for value in sums]).cpu()
        largest = torch.stack([before.norms.max(), after.norms.max()])
        self.largest = self.largest.maximum(largest.double().cpu())

    def verification(self, num: int, detect_block: int, bounds: Bounds) -> Verification:
        images, patches, before, after, register_norm, cosine, same = self.sums.tolist()
        return Verification(
            num=num,
            num_images=int(images),
            num_patches=int(patches),
            detect_block=detect_block,
            threshold=self.threshold,
            outliers_before=before / patches,
            outliers_after=after / patches,
            largest_before=self.largest[0].item(),
            largest_after=self.largest[1].item(),
            register_norm=register_norm / images,
            cosine=cosine / max(patches - before, 1),
            top1_agreement=same / images,
            bounds=bounds,
        )
