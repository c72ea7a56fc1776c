"""What the same model does under other changes, to judge what moving its neurons costs.

How far features and predictions may change depends on the model, its size and the images: no fixed
bound serves two of them. So on the same images three other changes are measured:

- `shifted`: the images moved by one pixel, which changes nothing of importance;
- `cleared`: the neurons cleared without a register, so that nothing takes over what they carried;
- `random`: as many other neurons of the same blocks moved to a register.

The cost is in order if it is at most that of the shift, or at most half of that of clearing. Both
comparisons are paired, image by image, and an excess counts once it is above two standard errors of
its mean: few images cannot show a small one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 1  # pixels, to the right and down
SHARES = {"shifted": 1.0, "cleared": 0.5}  # the part of a reference's cost that is in order
REFERENCES = ("shifted", "cleared", "random")
ERRORS = 2.0  # standard errors


@dataclass(frozen=True)
class Change:
    """What a change does to a model, against the model as it is.

    Args:
        outliers: share of all patches that are outliers.
        cosine: mean over the images of the mean cosine similarity of the patches that were none.
        top1_agreement: share of images whose top-1 class stays.
    """

    outliers: float
    cosine: float
    top1_agreement: float


@dataclass(frozen=True)
class Excess:
    """How much more the registers cost than they may by one reference.

    Args:
        mean: over the images, of cost with registers - share x cost of the reference.
        error: standard error of it; 0 for a single image.
    """

    mean: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether no excess can be seen."""
        return self.mean <= ERRORS * self.error + 1e-9


def shifted(images: Tensor) -> Tensor:
    """Move the content of images [B, 3, H, W] by a pixel; the border is repeated."""
    moved = F.pad(images, (SHIFT, 0, SHIFT, 0), mode="replicate")
    return moved[:, :, : images.shape[2], : images.shape[3]]


class Costs:
    """Sums over the images of what each change costs; several processes can add them up.

    Attributes:
        sums: of each of `registers` and `REFERENCES`: outlier patches, 1 - cosine, changed classes;
            float64 [4, 3].
        excess: of cosine and class against each of `SHARES`: sum and sum of squares; float64
            [2, 2, 2].
        images: how many, and their patches; float64 [2].
    """

    def __init__(self) -> None:
        self.sums = torch.zeros(1 + len(REFERENCES), 3, dtype=torch.float64)
        self.excess = torch.zeros(2, len(SHARES), 2, dtype=torch.float64)
        self.images = torch.zeros(2, dtype=torch.float64)

    def add(self, outliers: Tensor, costs: Tensor, patches: int) -> None:
        """Add a batch.

        Args:
            outliers: patches above the threshold per change and image, [4, B].
            costs: 1 - cosine and changed class per change and image, [4, B, 2].
            patches: patches per image.
        """
        outliers, costs = outliers.double().cpu(), costs.double().cpu()
        self.sums[:, 0] += outliers.sum(dim=1)
        self.sums[:, 1:] += costs.sum(dim=1)
        for column, (name, share) in enumerate(SHARES.items()):
            over = costs[0] - share * costs[1 + REFERENCES.index(name)]  # [B, 2]
            self.excess[:, column, 0] += over.sum(dim=0)
            self.excess[:, column, 1] += over.square().sum(dim=0)
        self.images += torch.tensor([costs.shape[1], costs.shape[1] * patches])

    def changes(self) -> dict[str, Change]:
        """What each reference does."""
        images, patches = self.images.tolist()
        return {
            name: Change(outliers / patches, 1 - cosine / images, 1 - classes / images)
            for name, (outliers, cosine, classes) in zip(
                REFERENCES, self.sums[1:].tolist(), strict=True
            )
        }

    def excesses(self) -> dict[str, dict[str, Excess]]:
        """{"cosine" or "top1_agreement": {reference: the excess over its share}}."""
        n = self.images[0].item()
        found: dict[str, dict[str, Excess]] = {}
        for row, measure in enumerate(("cosine", "top1_agreement")):
            found[measure] = {}
            for column, name in enumerate(SHARES):
                total, squares = self.excess[row, column].tolist()
                variance = max(squares - total**2 / n, 0.0) / max(n - 1, 1)
                found[measure][name] = Excess(total / n, math.sqrt(variance / n))
        return found


def image_costs(before: Tensor, after: Tensor, outliers: Tensor) -> Tensor:
    """1 - mean cosine of the patches that were no outliers, per image [B].

    Args:
        before: final features of the patches, [B, N, C].
        after: the same under a change.
        outliers: patches that were outliers, bool [B, N].
    """
    cosines = F.cosine_similarity(before.float(), after.float(), dim=2)
    clean = ~outliers
    return 1 - (cosines * clean).sum(dim=1) / clean.sum(dim=1).clamp_min(1)
