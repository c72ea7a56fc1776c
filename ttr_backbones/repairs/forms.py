"""Registers as tokens and as constants beside each other, and beside the model without any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.images.finite import naming_images
from ttr_backbones.neuron_search.onset import find_onset
from ttr_backbones.neuron_search.verification import Observation, has_classifier, observe
from ttr_backbones.repairs.baked import BakedRegisters
from ttr_backbones.repairs.bias import add_bias_registers
from ttr_backbones.vits.class_swap import check_plain, restored_eval, sharing_copy
from ttr_backbones.vits.registers import add_test_time_registers

FORMS = ("without", "cleared", "token", "bias")
"""The model as it is, with the neurons cleared and no register (the control that the constants
have to beat), with registers as tokens, and with their constant keys and values."""


@dataclass(frozen=True)
class Form:
    """What one of `FORMS` gives.

    Args:
        outliers: share of all patches that are outliers.
        largest: largest patch norm.
        cosine: mean cosine similarity of the final features of all patches to the token form's.
        top1_agreement: share of images with the top-1 class of the token form; None without a
            classifier.
    """

    outliers: float
    largest: float
    cosine: float
    top1_agreement: float | None


@dataclass(frozen=True)
class FormComparison:
    """`FORMS` on the same images.

    Args:
        num_images: images seen.
        detect_block: 0-based block after which norms were taken.
        threshold: norm above which a patch counted as an outlier.
        forms: what each of them gives.
    """

    num_images: int
    detect_block: int
    threshold: float
    forms: dict[str, Form]


def compare_forms(
    vit: nn.Module,
    baked: BakedRegisters,
    images: Tensor | str | Path | Iterable[Any] | ImageBatches,
    *,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> FormComparison:
    """Measure how near constant keys and values come to the registers that they stand for.

    Args:
        vit: a timm ViT without test-time registers; left as it is.
        baked: the constants. The tokens are as they were when these were measured.
        images: whatever `image_batches` takes, more than once.
        batch_size: images per batch.
        progress: told (images done, images in all or None) after every batch of both passes.

    Raises:
        NoOutliersError: the model has no outliers on these images.
        InputError: constants of another model; images that cannot be used.
    """
    check_plain(vit)
    batches = image_batches(images, vit, batch_size=batch_size, progress=progress)
    batches.require_reiterable("finding the threshold")
    with restored_eval(vit):
        models = _models(vit, baked)
        onset = find_onset(vit, batches)
        sums = {name: _Sums() for name in FORMS}
        for batch in batches:
            with naming_images(batches, sums["token"].images):
                seen = {name: observe(model, batch, onset.detect) for name, model in models.items()}
            for name, one in seen.items():
                sums[name].add(one, seen["token"], onset.threshold)
    classifier = has_classifier(vit)
    forms = {name: each.form(classifier=classifier) for name, each in sums.items()}
    return FormComparison(sums["token"].images, onset.detect, onset.threshold, forms)


def _models(vit: nn.Module, baked: BakedRegisters) -> dict[str, nn.Module]:
    cleared, token, bias = (sharing_copy(vit) for _ in range(3))
    return {
        "without": vit,
        "cleared": add_test_time_registers(cleared, baked.neurons, num=0),
        "token": add_test_time_registers(token, baked.neurons, **baked.options),
        "bias": add_bias_registers(bias, baked),
    }


class _Sums:
    """What is kept of one form's batches."""

    def __init__(self) -> None:
        self.images = self.patches = self.outliers = self.agreeing = 0
        self.largest = self.cosine = 0.0

    def add(self, seen: Observation, token: Observation, threshold: float) -> None:
        self.images += len(seen.norms)
        self.patches += seen.norms.numel()
        self.outliers += int((seen.norms > threshold).sum())
        self.largest = max(self.largest, seen.norms.max().item())
        similarity = F.cosine_similarity(seen.features.float(), token.features.float(), dim=2)
        self.cosine += similarity.double().sum().item()
        self.agreeing += int((seen.classes == token.classes).sum())

    def form(self, *, classifier: bool) -> Form:
        return Form(
            outliers=self.outliers / self.patches,
            largest=self.largest,
            cosine=self.cosine / self.patches,
            top1_agreement=self.agreeing / self.images if classifier else None,
        )
