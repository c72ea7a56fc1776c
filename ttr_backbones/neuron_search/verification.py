"""Measure what moving a list of neurons does to a model, and judge it by other changes.

Every batch runs without and with test-time registers and, where that is to be judged, under the
changes of `references`; nothing is kept of it but sums.
In a distributed job every process takes every world-size-th batch, and all get the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.images.finite import check_finite, naming_images
from ttr_backbones.images.processes import add_up, numbered_process_batches, take_largest
from ttr_backbones.neuron_search.controls import random_neurons
from ttr_backbones.neuron_search.onset import find_onset
from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.neuron_search.references import Change, Costs, Excess, image_costs, shifted
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.vits.class_swap import remove_test_time_registers
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.register_tokens import forward_with_registers
from ttr_backbones.vits.registers import add_test_time_registers

REMAINING = 0.01  # at most this share of the outliers is left
SPECIFIC = 0.5  # random neurons have to leave at least this share of them


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
        references: what other changes do, by the names of `references.REFERENCES`; empty where
            they were not measured.
        excess: cost of the registers beyond what each reference allows, per measure.
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
    references: dict[str, Change] = field(default_factory=dict)
    excess: dict[str, dict[str, Excess]] = field(default_factory=dict)

    @property
    def remaining(self) -> float:
        """Share of the outliers that is left."""
        return self.outliers_after / self.outliers_before

    @property
    def checks(self) -> dict[str, bool]:
        """What has to hold, by name.

        `remaining`: at most 1 % of the outliers is left. Where references were measured also
        `register`: there is one, for only clearing the neurons is a control; `random`: as many
        random neurons leave at least half of the outliers; `cosine` and `top1_agreement`: the cost
        is within what one of the references allows.
        """
        holds = {"remaining": self.remaining <= REMAINING}
        if "random" in self.references:
            holds["register"] = self.num > 0
            left = self.references["random"].outliers
            holds["random"] = left >= SPECIFIC * self.outliers_before
        for measure, excess in self.excess.items():
            holds[measure] = any(each.holds for each in excess.values())
        return holds

    @property
    def passed(self) -> bool:
        """Whether all of it holds."""
        return all(self.checks.values())


def verify_neurons(
    vit: nn.Module,
    neurons: RegisterNeurons,
    images: Tensor | str | Path | Iterable[Any] | ImageBatches,
    *,
    threshold: float | None = None,
    detect_block: int | None = None,
    num: int = 1,
    compare: bool = True,
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
        compare: measure the references too, which takes three more passes; without them `passed`
            is about the outliers alone.
        batch_size: images per batch.
        progress: called with (images done, images in all or None) after every batch.

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
    if not math.isfinite(threshold):
        raise InputError(f"threshold={threshold}: expected a finite norm")
    depth = len(family_of(vit).blocks(vit))
    if not -depth <= detect_block < depth:
        raise InputError(f"detect_block={detect_block}: the model has blocks 0..{depth - 1}")
    measured = _Measured(threshold)
    random = random_neurons(vit, neurons, torch.Generator().manual_seed(0)) if compare else neurons
    for first, batch in numbered_process_batches(batches):
        with naming_images(batches, first):
            before = observe(vit, batch, detect_block % depth)
            with _registers(vit, neurons, num):
                after = observe(vit, batch, detect_block % depth)
            others = []
            if compare:
                others.append(observe(vit, shifted(batch), detect_block % depth))
                for listed, count in ((neurons, 0), (random, max(num, 1))):
                    with _registers(vit, listed, count):
                        others.append(observe(vit, batch, detect_block % depth))
        measured.add(before, after, others)
    device = next(vit.parameters()).device
    costs = measured.costs
    add_up([measured.sums, costs.sums, costs.excess, costs.images], device)
    take_largest([measured.largest], device)
    seen = measured.verification(num, detect_block % depth, compared=compare)
    if not seen.outliers_before:
        raise NoOutliersError(
            f"none of {seen.num_images} images has a patch with a norm above {threshold:.4g} after "
            f"block {detect_block % depth}: nothing to verify"
        )
    if has_classifier(vit):
        return seen
    without = {name: each for name, each in seen.excess.items() if name != "top1_agreement"}
    return replace(seen, top1_agreement=None, excess=without)


@dataclass
class Observation:
    """One forward pass: norms and final features of the patches, registers' norms, classes, ..."""

    norms: Tensor  # [B, N]
    features: Tensor  # [B, N, C]
    register_norms: Tensor  # [B, R]
    classes: Tensor  # [B], all 0 without a classifier
    pooled: Tensor | None  # [B, E], see `Family.pool`


@torch.no_grad()
def observe(vit: nn.Module, batch: Tensor, block: int) -> Observation:
    """Run a batch once; norms are taken after `block`.

    Args:
        vit: the model, with or without registers.
        batch: [B, 3, H, W].
        block: 0-based.

    Raises:
        NonFiniteError: norms, features or scores that are NaN or infinite.
    """
    final, (tokens,) = forward_with_registers(vit, batch, [block])
    norms, registers = token_norms(tokens.patches), token_norms(tokens.registers)
    family = family_of(vit)
    scores = final.new_zeros(len(batch), 1)
    if family.has_classifier(vit):
        scores = family.classes(vit, final)
    check_finite(
        {
            f"patch norms after block {block}": norms,
            f"register norms after block {block}": registers,
            "final features": token_norms(final),
            "scores of the classes": scores,
        }
    )
    return Observation(
        norms=norms,
        features=final[:, family.num_prefix(vit) :],
        register_norms=registers,
        classes=scores.argmax(dim=1),
        pooled=family.pool(vit, final),
    )


def has_classifier(vit: nn.Module) -> bool:
    """Whether the head gives classes; in a CLIP without fine-tuning it is the projection."""
    return family_of(vit).has_classifier(vit)


@contextmanager
def _registers(vit: nn.Module, neurons: RegisterNeurons, num: int) -> Iterator[None]:
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
        self.costs = Costs()

    def add(self, before: Observation, after: Observation, others: Sequence[Observation]) -> None:
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
        if others:
            looks = (after, *others)
            counts = torch.stack([(each.norms > self.threshold).sum(dim=1) for each in looks])
            cosine = [image_costs(before.features, each.features, outliers) for each in looks]
            classes = [before.classes != each.classes for each in looks]
            costs = torch.stack([torch.stack(cosine), torch.stack(classes).float()], dim=2)
            self.costs.add(counts, costs, outliers.shape[1])

    def verification(self, num: int, detect_block: int, *, compared: bool) -> Verification:
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
            references=self.costs.changes() if compared else {},
            excess=self.costs.excesses() if compared else {},
        )
