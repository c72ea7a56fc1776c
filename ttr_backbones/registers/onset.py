"""Where outliers appear in a model, and where they stand out most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ttr_backbones.registers.outliers import token_norms
from ttr_backbones.registers.processes import add_up, own_batches
from ttr_backbones.registers.search import NoOutliersError
from ttr_backbones.registers.thresholds import NormHistogram, gap_threshold
from ttr_backbones.registers.tokens import split_tokens


@dataclass(frozen=True)
class Onset:
    """Blocks, 0-based, and the norm above which a patch is an outlier.

    Args:
        first: the first block after which at least half as many patches as after `detect` have such
            norms. (Some patches may stand out before, though less: bright ones in the embedding.)
        detect: the block after which outliers stand out most.
        threshold: the middle of the gap there.
    """

    first: int
    detect: int
    threshold: float


def find_onset(vit: VisionTransformer, images: Iterable[Tensor]) -> Onset:
    """Apply the gap rule to the patch norms after every block.

    Raises:
        NoOutliersError: no block has such a gap.
    """
    return onset_of_norms(block_norms(vit, images))


def onset_of_norms(norms: Sequence[NormHistogram]) -> Onset:
    """Apply the gap rule to histograms of the patch norms after every block.

    Raises:
        NoOutliersError: no block has such a gap.
    """
    thresholds = [gap_threshold(histogram) for histogram in norms]
    contrast = [
        0.0 if threshold is None else _contrast(histogram, threshold)
        for histogram, threshold in zip(norms, thresholds, strict=True)
    ]
    detect = max(range(len(norms)), key=contrast.__getitem__)
    threshold = thresholds[detect]
    if threshold is None:
        raise NoOutliersError(
            f"this model has no outliers: after none of its {len(norms)} blocks does a group of "
            "patches have norms far above the others', so there are no register neurons to find. "
            "Models trained with registers and untrained ones look like this; use the model as it "
            "is"
        )
    above = [_outliers(histogram, threshold).sum() for histogram in norms]
    first = next(block for block, count in enumerate(above) if count >= above[detect] / 2)
    return Onset(first, detect, threshold)


@torch.no_grad()
def block_norms(vit: VisionTransformer, images: Iterable[Tensor]) -> list[NormHistogram]:
    """Histograms of the patch norms after every block; memory on one batch.

    In a distributed job every process takes every world-size-th batch, and all get the same.
    """
    device = next(vit.parameters()).device
    histograms = [NormHistogram(device) for _ in vit.blocks]

    def counter(histogram: NormHistogram) -> Callable[[Any, Any, Tensor], None]:
        return lambda _, __, tokens: histogram.add(token_norms(split_tokens(vit, tokens).patches))

    hooks = [
        block.register_forward_hook(counter(histogram))
        for block, histogram in zip(vit.blocks, histograms, strict=True)
    ]
    try:
        for batch in own_batches(images):
            vit.forward_features(batch)
    finally:
        for hook in hooks:
            hook.remove()
    add_up([part for each in histograms for part in (each.counts, each.moments)], device)
    return histograms


def _contrast(norms: NormHistogram, threshold: float) -> float:
    """Geometric mean of the outliers' norms over the median norm."""
    outliers = _outliers(norms, threshold)
    mean = (norms.logs * outliers).sum() / outliers.sum()
    return math.exp(mean.item()) / norms.median()


def _outliers(norms: NormHistogram, threshold: float) -> Tensor:
    """The part of the counts above the threshold, [bins]."""
    return norms.counts * (norms.logs > math.log(threshold))
