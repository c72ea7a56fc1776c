"""A ring of blank patches around the image: a control that needs no training and no search.

UniRefiner's ring (arXiv 2605.19622) without its training; by itself it is in no paper. Outliers
that sit at the border of the image move into the ring, which is in no output. The position
embedding is resampled to the larger grid, which costs something by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.image_transform import ImageTransform, mix_image_transform
from ttr_backbones.vits.tokens import Grid

_WIDTH = 1


class Ringed(ImageTransform):
    """A ViT whose images have a ring of blank patches around them."""

    width: int
    patch: Grid

    def inner_images(self, images: Tensor) -> Tensor:
        """Surround images with zeros: [B, 3, H, W] -> [B, 3, H + 2 width P, W + 2 width P]."""
        down, right = (self.width * side for side in self.patch)
        return F.pad(images, (right, right, down, down))

    def inner_grid(self, grid: Grid) -> Grid:
        """(h + 2 width, w + 2 width)."""
        return grid[0] + 2 * self.width, grid[1] + 2 * self.width

    def outer_prefix(self, prefix: Tensor) -> Tensor:
        """The same."""
        return prefix

    def outer_patches(self, patches: Tensor, grid: Grid) -> Tensor:
        """Cut the ring off: [B, (h + 2 width) (w + 2 width), C] -> [B, h * w, C]."""
        inside = slice(self.width, -self.width)
        return patches.unflatten(1, self.inner_grid(grid))[:, inside, inside].flatten(1, 2)

    def restore(self) -> None:
        """Forget the ring."""
        super().restore()
        del self.width, self.patch


@register_repair
class Ring(Repair):
    """Blank patches around the image take what outliers there are."""

    type = "ring"
    label = "blank ring"
    colour = "#999933"
    fit_options: ClassVar[Mapping[str, str]] = {"width": "patches on every side (1)"}
    options: ClassVar[Mapping[str, str]] = {"width": "patches on every side (1)"}
    swaps = (Ringed,)

    def fit(self, vit: nn.Module, images: ImageBatches, *, width: int = _WIDTH) -> Artifact:
        """Note the width; the images are not looked at."""
        del vit, images
        artifact = Artifact(self.type, "", {}, {"width": width})
        self.check(artifact)
        return artifact

    def apply(
        self, vit: nn.Module, artifact: Artifact, *, width: int | None = None, **options: Any
    ) -> None:
        """Lay the ring around every image."""
        del options  # there are no others
        width = artifact.facts.get("width", _WIDTH) if width is None else width
        _check_width(width)
        patch = family_of(vit).facts(vit).patch_size
        ringed = mix_image_transform(vit, Ringed)
        ringed.width, ringed.patch = width, patch

    def describe(self, vit: Any) -> dict[str, Any]:
        """The width."""
        return {"width": vit.width}

    def check(self, artifact: Artifact) -> None:
        """A width."""
        _check_width(artifact.facts.get("width", _WIDTH))

    def shipped(self, model: str) -> Artifact:
        """The same for every model."""
        del model
        return Artifact(self.type, "", {}, {"width": _WIDTH})


def _check_width(width: Any) -> None:
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise InputError(f"width={width!r}: expected the patches on every side, an integer >= 1")
