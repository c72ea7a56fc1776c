"""Where outliers appear in a model, and where they stand out most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ttr_backbones.images.finite import check_finite, naming_images
from ttr_backbones.images.processes import add_up, numbered_process_batches
from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.neuron_search.thresholds import NormHistogram, gap_threshold
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.register_tokens import split_tokens

ENOUGH_IMAGES = 20  # a model may write outliers into some images only
SKEWED = 0.5


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


def find_onset(vit: nn.Module, images: Iterable[Tensor]) -> Onset:
    """Apply the gap rule to the patch norms after every block.

    Raises:
        NoOutliersError: no block has such a gap.
        NonFiniteError: norms that are NaN or infinite.
    """
    norms = block_norms(vit, images)
    return onset_of_norms(norms, num_images=getattr(images, "num_images", None))


def onset_of_norms(norms: Sequence[NormHistogram], *, num_images: int | None = None) -> Onset:
    """Apply the gap rule to histograms of the patch norms after every block.

    Args:
        norms: one per block.
        num_images: of how many images, if known.

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
        raise NoOutliersError(_no_outliers_message(norms, num_images))
    above = [_outliers(histogram, threshold).sum() for histogram in norms]
    first = next(block for block, count in enumerate(above) if count >= above[detect] / 2)
    return Onset(first, detect, threshold)


def _no_outliers_message(norms: Sequence[NormHistogram], num_images: int | None) -> str:
    """Say that there are no outliers, with the block where the largest norm stands out most."""
    block = max(range(len(norms)), key=lambda b: norms[b].largest() / norms[b].median())
    seen = norms[block]
    largest, median, skew = seen.largest(), seen.median(), seen.skewness()
    shape = "skewed to high norms" if skew > SKEWED else "not skewed to high norms"
    patches = f"{int(seen.moments[0].item())} patches"
    seen_in = patches if num_images is None else f"{patches} of {num_images} images"
    text = (
        f"this model has no outliers: after none of its {len(norms)} blocks does a group of "
        "patches have norms far above the others', so there are no register neurons to find. The "
        f"norms of {seen_in} have one mode; they stand out most after block {block}: largest "
        f"{largest:.4g}, {largest / median:.3g} times the median {median:.4g}, {shape} (skewness "
        f"{skew:.2g}). Models trained with registers and untrained ones look "
        "like this; use the model as it is"
    )
    if num_images is not None and num_images < ENOUGH_IMAGES:
        text += f". {num_images} images are few: to be sure give {ENOUGH_IMAGES} or more"
    return text


@torch.no_grad()
def block_norms(vit: nn.Module, images: Iterable[Tensor]) -> list[NormHistogram]:
    """Histograms of the patch norms after every block; memory on one batch.

    In a distributed job every process takes every world-size-th batch, and all get the same.

    Raises:
        NonFiniteError: norms that are NaN or infinite.
    """
    device = next(vit.parameters()).device
    blocks = range(len(family_of(vit).blocks(vit)))
    histograms = [NormHistogram(device) for _ in blocks]
    norms: dict[int, Tensor] = {}

    def noting(block: int) -> Callable[[Tensor], None]:
        return lambda tokens: norms.update({block: token_norms(split_tokens(vit, tokens).patches)})

    with reading(vit, {Site(block, "output"): noting(block) for block in blocks}):
        for first, batch in numbered_process_batches(images):
            family_of(vit).final_tokens(vit, batch)
            with naming_images(images, first):
                check_finite({f"patch norms after block {b}": each for b, each in norms.items()})
            for block, each in norms.items():
                histograms[block].add(each)
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
