"""Measures of the attribution maps of an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import scipy.ndimage
import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.vlm.attribution import Attribution
from ttr_backbones.vlm.canvas import canvas_size, laid_over

_SAME = 1e-4  # cells of one patch differ by rounding


@dataclass(frozen=True)
class AttributionSpread:
    """How the weights of an answer lie over the image tokens; means over its tokens.

    Args:
        on_image: share of the whole row that goes to image tokens (attention and rollout sum to 1
            over the sequence; for gradients it is a plain sum).
        entropy: of the weights over the image tokens with patches, as a share of a uniform one's:
            1 for uniform, 0 for a single token.
        on_outliers: share of the weights over these that tokens with an outlier patch have; None
            without a threshold.
        outliers: share of the image's patches that are outliers; None likewise.
    """

    on_image: float
    entropy: float
    on_outliers: float | None
    outliers: float | None

    def facts(self) -> dict[str, float | None]:
        """The numbers by name."""
        return asdict(self)


@dataclass(frozen=True)
class Pointing:
    """Whether an answer points at a thing.

    Args:
        hit: whether the peak of the map, mean over the answer's tokens, lies in one of the boxes.
        inside: share of the map, as far as it lies on the photograph, inside the boxes.
        area: share of what the model sees of the photograph that the boxes take: what `inside`
            is for a uniform map.
        peak: x and y of the middle of the patch (or patches side by side) with most, as shares of
            the photograph's width and height.
    """

    hit: bool
    inside: float
    area: float
    peak: tuple[float, float]


def spread(attribution: Attribution, outliers: Tensor | None = None) -> AttributionSpread:
    """Measure one image's answer.

    Args:
        attribution: of `attribute`.
        outliers: which patches are outliers, bool [tiles, h, w]; those of the model as it comes
            also where the register's answer is measured, so that both are asked about the same
            places.
    """
    weights = attribution.reduced().double()
    patches = attribution.place.patches
    with_patch = (patches >= 0).any(dim=1)
    on_patches = weights[:, with_patch]
    share = on_patches / on_patches.sum(dim=1, keepdim=True).clamp(min=1e-30)
    count = int(with_patch.sum())
    entropy = torch.special.entr(share).sum(dim=1).mean().item()
    on_outliers = fraction = None
    if outliers is not None:
        if outliers.shape != attribution.norms.shape:
            raise InputError(
                f"outliers {tuple(outliers.shape)}: expected a mask of the tiles' patches "
                f"{tuple(attribution.norms.shape)}"
            )
        held = outliers.flatten()[patches.clamp(min=0)] & (patches >= 0)
        on_outliers = share[:, held.any(dim=1)[with_patch]].sum(dim=1).mean().item()
        fraction = outliers.double().mean().item()
    return AttributionSpread(
        on_image=weights.sum(dim=1).mean().item(),
        entropy=entropy / math.log(count) if count > 1 else 0.0,
        on_outliers=on_outliers,
        outliers=fraction,
    )


def photograph_map(attribution: Attribution) -> Tensor:
    """The weights of every answer token over the photograph, [tokens, y, x]."""
    place = attribution.place
    size = canvas_size(place.boxes, place.grid)
    return laid_over(attribution.on_patches(), place.boxes, size)


def pointing(attribution: Attribution, boxes: Sequence[Sequence[float]]) -> Pointing | None:
    """Play the pointing game (Zhang et al., 2016) with the mean map of an answer.

    Args:
        attribution: of `attribute`.
        boxes: x1, y1, x2, y2 each, as shares of the photograph's width and height.

    Returns:
        None where the model sees nothing of the boxes: they lie in what its processor cuts off, or
        between the centres of two cells of the map.
    """
    if not boxes:
        raise InputError("the pointing game needs at least one box")
    place = attribution.place
    size = canvas_size(place.boxes, place.grid)
    mean = laid_over(attribution.on_patches().mean(dim=0), place.boxes, size).double()
    seen = laid_over(torch.ones_like(attribution.norms), place.boxes, size) > 0
    y, x = torch.meshgrid(
        *((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in size), indexing="ij"
    )
    inside = torch.zeros(size, dtype=torch.bool)
    for x1, y1, x2, y2 in boxes:
        inside |= (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
    if not (inside & seen).any():
        return None
    top = _around_peak(mean)
    peak = x[top].mean().item(), y[top].mean().item()
    return Pointing(
        hit=any(x1 <= peak[0] <= x2 and y1 <= peak[1] <= y2 for x1, y1, x2, y2 in boxes),
        inside=(mean[inside].sum() / mean.sum().clamp(min=1e-30)).item(),
        area=(inside & seen).sum().item() / seen.sum().item(),
        peak=peak,
    )


def _around_peak(weights: Tensor) -> Tensor:
    """Which cells of a map [y, x] are of the patch that has most; of equal ones, of the first.

    The middle of several that lie apart would be a place that nobody looks at.
    """
    top = (weights >= weights.max() * (1 - _SAME)).numpy()
    labels, _ = scipy.ndimage.label(top)
    return torch.from_numpy(labels == labels[top][0])
