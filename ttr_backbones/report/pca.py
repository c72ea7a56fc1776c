"""PCA maps: the first three components of patch features as red, green and blue.

One basis serves all images and all kinds of registers, so that equal colours mean equal features,
and its signs are fixed: other machines and runs give the same colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.report.inspection import Inspection
from ttr_backbones.report.summary import outlier_rule

_LOW, _HIGH = 0.01, 0.99  # quantiles that become 0 and 1
_BINS = 256


@dataclass(frozen=True)
class PcaMaps:
    """Colours per patch.

    Args:
        maps: RGB uint8 [B, h, w, 3], one per kind of registers.
        foreground: bool [B, h, w], likewise: the patches that have colours; None without the
            foreground step.
        explained: share of the variance that each of the three components has.
    """

    maps: list[NDArray[np.uint8]]
    foreground: list[Tensor] | None
    explained: list[float]


def pca_maps(inspections: Sequence[Inspection], *, foreground: bool = False) -> PcaMaps:
    """Project the features of all inspections on one basis.

    The basis is fitted to the patches that are no outliers: a few of those would take a component
    for themselves. They are projected as all others are.

    Args:
        inspections: of one model on the same images, the model as it comes first.
        foreground: split the patches by the first component (Otsu's threshold), take the part that
            is rarer along the border of the images as the foreground, and fit the colours to it
            alone; the rest becomes black.

    Raises:
        InputError: fewer than three channels.
    """
    features = [inspection.features for inspection in inspections]
    if features[0].shape[1] < 3:
        raise InputError(f"a PCA map needs 3 channels or more, got {features[0].shape[1]}")
    rule = outlier_rule(inspections)
    chosen = [~rule.mask(inspection.norms[rule.block]) for inspection in inspections]
    basis = _fit(features, chosen)
    if foreground:
        chosen = _foreground([basis.project(part)[..., 0] for part in features], chosen)
        basis = _fit(features, chosen)
    projected = [basis.project(part) for part in features]
    colours = torch.cat([p[mask] for p, mask in zip(projected, chosen, strict=True)])
    low, high = _quantile(colours, _LOW), _quantile(colours, _HIGH)
    maps = [((p - low) / (high - low).clamp_min(1e-12)).clamp(0, 1) for p in projected]
    if foreground:
        maps = [m * mask.unsqueeze(3) for m, mask in zip(maps, chosen, strict=True)]
    shown = [(255 * m).round().byte().numpy() for m in maps]
    return PcaMaps(shown, chosen if foreground else None, basis.explained)


@dataclass(frozen=True)
class _Basis:
    """Three directions, [C, 3], and the mean, [C]."""

    mean: Tensor
    directions: Tensor
    explained: list[float]

    def project(self, features: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, h, w, 3]."""
        return (features.movedim(1, 3) - self.mean) @ self.directions


def _fit(features: Sequence[Tensor], chosen: Sequence[Tensor]) -> _Basis:
    """Eigenvectors of the covariance of the chosen patches, added up image by image."""
    C = features[0].shape[1]
    total, products, count = torch.zeros(C).double(), torch.zeros(C, C).double(), 0
    for patches in _patches(features, chosen):
        total += patches.sum(dim=0)
        products += patches.T @ patches
        count += len(patches)
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))  # ascending
    directions = vectors[:, -3:].flip(1)
    strongest = directions.abs().argmax(dim=0, keepdim=True)
    directions = directions * directions.gather(0, strongest).sign()
    variance = values.clamp_min(0)
    explained = (variance[-3:].flip(0) / variance.sum().clamp_min(1e-30)).tolist()
    return _Basis(mean.float(), directions.float(), explained)


def _patches(features: Sequence[Tensor], chosen: Sequence[Tensor]) -> Iterable[Tensor]:
    """The chosen patches of one image after the other, float64 [n, C]."""
    for images, masks in zip(features, chosen, strict=True):
        for image, mask in zip(images, masks, strict=True):
            yield image[:, mask].T.double()


def _foreground(first: Sequence[Tensor], ordinary: Sequence[Tensor]) -> list[Tensor]:
    """Split maps [B, h, w] of the first component; outliers belong to neither part."""
    values = torch.cat([f[mask] for f, mask in zip(first, ordinary, strict=True)])
    threshold = otsu_threshold(values)
    upper = torch.cat([(f > threshold) for f in first])
    usual = torch.cat(list(ordinary))
    border = torch.ones_like(usual)
    border[:, 1:-1, 1:-1] = False
    share_on_border = upper[border & usual].float().mean()
    is_upper = share_on_border < upper[usual].float().mean()
    return [((f > threshold) == is_upper) & mask for f, mask in zip(first, ordinary, strict=True)]


def otsu_threshold(values: Tensor) -> float:
    """Split `values` in two groups with the most variance between them (Otsu 1979)."""
    low, high = values.min().item(), values.max().item()
    counts = torch.histc(values.double(), _BINS, low, high)
    middles = low + (high - low) * (torch.arange(_BINS, dtype=torch.float64) + 0.5) / _BINS
    below = counts.cumsum(0)
    above = counts.sum() - below
    sums = (counts * middles).cumsum(0)
    mean_below = sums / below.clamp_min(1)
    mean_above = (sums[-1] - sums) / above.clamp_min(1)
    best = int((below * above * (mean_below - mean_above).square()).argmax())
    return low + (high - low) * (best + 1) / _BINS


def _quantile(values: Tensor, share: float) -> Tensor:
    """Quantile of every column; `torch.quantile` refuses more than 16 million values."""
    ordered = values.sort(dim=0).values
    return ordered[round(share * (len(ordered) - 1))]
