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
        largest: largest patch norm.
        cosine: mean over the images of the mean cosine similarity of the patches that were none.
        top1_agreement: share of images whose top-1 class stays.
    """

    outliers: float
    largest: float
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


def excess_over(costs: Tensor, reference: Tensor, share: float = 1.0) -> Excess:
    """How far costs lie above a share of those of a reference, paired by image.

    Args:
        costs: of the images [N].
        reference: of the same images [N].
        share: the part of it that is in order.
    """
    over = costs - share * reference
    error = over.std().item() / math.sqrt(len(over)) if len(over) > 1 else 0.0
    return Excess(over.mean().item(), error)
