"""Measure what moving a list of neurons does to a model, and judge it by other changes.

Every batch runs without and with test-time registers and, where that is to be judged, under the
changes of `references`, as `side_by_side` does for any models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.neuron_search.controls import cleared_options, random_neurons
from ttr_backbones.neuron_search.onset import find_onset
from ttr_backbones.neuron_search.references import (
    REFERENCES,
    SHARES,
    Change,
    Excess,
    excess_over,
)
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.neuron_search.side_by_side import NONE, SHIFTED, SideBySide, side_by_side
from ttr_backbones.vits.class_swap import restored_eval, sharing_copy
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.registers import add_test_time_registers

REGISTER = "register"
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
    options: Mapping[str, Any] | None = None,
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
        options: other arguments of `add_test_time_registers`, for the list and random neurons; by
            default those in the list's file, `RegisterNeurons.edit_options`.
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
    block = detect_block % depth
    options = {**(neurons.edit_options if options is None else options), "num": num}
    changes = {REGISTER: (neurons, options if num else cleared_options(options))}
    if compare:
        random = random_neurons(vit, neurons, torch.Generator().manual_seed(0))
        changes["cleared"] = (neurons, cleared_options(options))
        changes["random"] = (random, {**options, "num": max(num, 1)})
    models = {NONE: vit}
    with restored_eval(vit):
        for name, (moved, edit) in changes.items():
            models[name] = add_test_time_registers(sharing_copy(vit), moved, **edit)
        rows = side_by_side(models, batches, block=block, threshold=threshold, shift=compare)
    if not rows.facts[NONE].outliers.any():
        raise NoOutliersError(
            f"none of {len(rows.patches)} images has a patch with a norm above {threshold:.4g} "
            f"after block {block}: nothing to verify"
        )
    return _verification(rows, num, block, threshold, classes=has_classifier(vit))


def has_classifier(vit: nn.Module) -> bool:
    """Whether the head gives classes; in a CLIP without fine-tuning it is the projection."""
    return family_of(vit).has_classifier(vit)


def _verification(
    rows: SideBySide, num: int, block: int, threshold: float, *, classes: bool
) -> Verification:
    before, after = rows.facts[NONE], rows.facts[REGISTER]
    measures = ("cosine", "top1_agreement") if classes else ("cosine",)
    costs, excess = rows.image_costs(REGISTER), {}
    if SHIFTED in rows.facts:
        excess = {
            measure: {
                name: excess_over(costs[:, i], rows.image_costs(name)[:, i], share)
                for name, share in SHARES.items()
            }
            for i, measure in enumerate(measures)
        }
    return Verification(
        num=num,
        num_images=len(rows.patches),
        num_patches=int(rows.patches.sum()),
        detect_block=block,
        threshold=threshold,
        outliers_before=rows.share(before.outliers),
        outliers_after=rows.share(after.outliers),
        largest_before=before.largest.max().item(),
        largest_after=after.largest.max().item(),
        register_norm=after.register_norm.mean().item(),
        cosine=rows.cosine(REGISTER),
        top1_agreement=1 - after.changed.mean().item() if classes else None,
        references={name: _change(rows, name) for name in REFERENCES if name in rows.facts},
        excess=excess,
    )


def _change(rows: SideBySide, name: str) -> Change:
    cosine, changed = rows.image_costs(name).mean(dim=0).tolist()
    facts = rows.facts[name]
    return Change(rows.share(facts.outliers), facts.largest.max().item(), 1 - cosine, 1 - changed)
