"""Which patches are defects, what they should be, and how far off they are (arXiv 2407.16826)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.errors import InputError, unknown_name

Rule = Literal["std", "mad", "cosine"]
_TEMPERATURE = 0.1
_GAUSSIAN = ((1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0))


@dataclass(frozen=True)
class DefectRule:
    """When a patch counts as a defect: by |cos| of the patch and the block's direction.

    Args:
        rule: above the mean of its image by `threshold` standard deviations ("std", as published),
            above the median by `threshold` robust ones ("mad", 1.4826 times the median absolute
            deviation), or above `threshold` itself ("cosine").
        threshold: see there; 4 as published.
        border: whether patches of the outermost rows and columns may be defects; as published they
            are never.

    Raises:
        InputError: no such rule, or no threshold that it can have.
    """

    rule: Rule = "std"
    threshold: float = 4.0
    border: bool = False

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise InputError(unknown_name("rule", str(self.rule), get_args(Rule)))
        if not self.threshold > 0 or (self.rule == "cosine" and self.threshold >= 1):
            bound = "between 0 and 1" if self.rule == "cosine" else "above 0"
            raise InputError(
                f"threshold={self.threshold} with rule={self.rule!r}: expected one {bound}"
            )

    def __call__(self, cosines: Tensor) -> Tensor:
        """Mark defects by |cos| [B, h, w] -> bool [B, h, w]."""
        defects = self.with_border(cosines)
        return defects if self.border else defects & interior(cosines)

    def with_border(self, cosines: Tensor) -> Tensor:
        """Mark defects at the border too."""
        flat = cosines.flatten(1)
        if self.rule == "std":
            std, mean = torch.std_mean(flat, dim=1, keepdim=True)
            defects = flat > mean + self.threshold * std
        elif self.rule == "mad":
            median = flat.median(dim=1, keepdim=True).values
            mad = (flat - median).abs().median(dim=1, keepdim=True).values
            defects = flat > median + self.threshold * 1.4826 * mad
        else:
            defects = flat > self.threshold
        return defects.view_as(cosines)

    @property
    def largest_share(self) -> float:
        """Share of the patches above which the rule can flag none.

        A share p that stands out from patches that are all alike is sqrt((1 - p) / p) standard
        deviations off the mean: 4 need p below 1/17.
        """
        return 1 / (1 + self.threshold**2) if self.rule == "std" else 1.0


def interior(maps: Tensor) -> Tensor:
    """Mark all but the outermost rows and columns: [B, h, w] -> bool [1, h, w]."""
    h, w = maps.shape[1:3]
    rows, columns = (
        (torch.arange(size, device=maps.device) % (size - 1) != 0)
        if size > 1
        else torch.zeros(1, dtype=torch.bool, device=maps.device)
        for size in (h, w)
    )
    return (rows[:, None] & columns)[None]


def cosines(maps: Tensor, direction: Tensor) -> Tensor:
    """|cos| of every patch [B, h, w, C] and a direction [C]: [B, h, w], float32."""
    unit = F.normalize(maps.float(), dim=-1)
    return (unit @ direction.to(unit)).abs()


@torch.no_grad()
def neighbourhood_means(maps: Tensor, cosines: Tensor) -> Tensor:
    """Weighted mean of the 3 x 3 patches around each, itself among them.

    Weights are exp(-|cos| / 0.1), normalised over the neighbourhood, times [1 2 1] x [1 2 1] / 16,
    normalised again, which makes the first norming one factor that cancels. At the border it is the
    part of the neighbourhood that exists.

    Args:
        maps: [B, h, w, C].
        cosines: of `cosines`, [B, h, w].

    Returns:
        [B, h, w, C], without a gradient.
    """
    channels = maps.shape[-1]
    kernel = maps.new_tensor(_GAUSSIAN)[None, None]
    weights = torch.exp(-cosines / _TEMPERATURE).to(maps)[:, None]  # [B, 1, h, w]
    weighted = maps.permute(0, 3, 1, 2) * weights
    total = F.conv2d(weights, kernel, padding=1)
    sums = F.conv2d(weighted, kernel.expand(channels, -1, -1, -1), padding=1, groups=channels)
    return (sums / total).permute(0, 2, 3, 1)


def neighbourhood_loss(maps: Tensor, means: Tensor, defects: Tensor, *, border: bool) -> Tensor:
    """Mean distance of the defects from their neighbourhood, over the mean norm of the patches.

    Args:
        maps: [B, h, w, C].
        means: of `neighbourhood_means`.
        defects: bool [B, h, w].
        border: whether the mean norm is over all patches; as published, over those not at the
            border (which every image has to have).

    Returns:
        One loss per image, [B]; 0 for images without defects.
    """
    with torch.no_grad():
        norms = torch.linalg.vector_norm(maps, dim=-1)
        counted = torch.ones_like(defects) if border else interior(maps).expand_as(defects)
        scale = (norms * counted).sum(dim=(1, 2)) / counted.sum(dim=(1, 2))
        number = defects.sum(dim=(1, 2)).clamp_min(1)
    # Distances of the defects alone: that of a patch from itself has no gradient.
    images = defects.nonzero()[:, 0]
    distances = torch.linalg.vector_norm(maps[defects] - means[defects], dim=-1)
    sums = torch.zeros_like(scale).index_add(0, images, distances)
    return sums / number / scale
