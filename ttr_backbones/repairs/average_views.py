"""The average of shifted views at test time: PH-Reg's teacher alone, at n times the cost.

What stays in place while the content moves is averaged away (arXiv 2505.21501, its ablation
"averaging at test time only"). Nothing is trained, and all images have the same views.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.image_transform import ImageTransform, mix_image_transform
from ttr_backbones.vits.shifted_views import (
    Fill,
    Views,
    average_back,
    draw_views,
    fill_colour,
    view_images,
)
from ttr_backbones.vits.tokens import Grid

_DEFAULTS: dict[str, Any] = {"views": 10, "shift": 0.15, "flip": 0.5, "fill": "white", "seed": 0}
_OPTIONS = {
    "views": "views that are averaged, the image itself among them (10)",
    "shift": "largest shift as a share of the grid, in whole patches (0.15)",
    "flip": "probability that a view is mirrored (0.5)",
    "fill": "what comes in from outside: 'white', as published, 'zero' or 'reflect'",
    "seed": "of the views, which all images share (0)",
}


class AveragedViews(ImageTransform):
    """A ViT that runs on n views of an image and averages each patch over those that show it.

    CLS and trained registers are those of the image itself.
    """

    view_shifts: Tensor
    view_flips: Tensor
    view_fill: Tensor | None
    drawn: dict[str, Any]
    patch: Grid

    def hold(self, views: Views, colour: Tensor | None, drawn: dict[str, Any], patch: Grid) -> None:
        """Use these views from now on."""
        self.register_buffer("view_shifts", views.shifts, persistent=False)
        self.register_buffer("view_flips", views.flips, persistent=False)
        self.register_buffer("view_fill", colour, persistent=False)
        self.drawn, self.patch = drawn, patch

    @property
    def views(self) -> Views:
        """The views of every image."""
        return Views(self.view_shifts, self.view_flips, self.drawn["shift"])

    def inner_images(self, images: Tensor) -> Tensor:
        """Make the views: [B, 3, H, W] -> [B * n, 3, H, W].

        Raises:
            InputError: H or W is no multiple of the patch.
        """
        if images.shape[2] % self.patch[0] or images.shape[3] % self.patch[1]:
            raise InputError(
                f"images of {images.shape[2]} x {images.shape[3]} pixels cannot be shifted by "
                f"whole patches of {self.patch[0]} x {self.patch[1]}: pad or crop them"
            )
        return view_images(images, self.views, self.patch, self.view_fill)

    def outer_prefix(self, prefix: Tensor) -> Tensor:
        """Take that of view 0, the image itself."""
        return prefix.unflatten(0, (-1, len(self.view_flips)))[:, 0]

    def outer_patches(self, patches: Tensor, grid: Grid) -> Tensor:
        """Average them: [B * n, h * w, C] -> [B, h * w, C]."""
        return average_back(patches, self.views, grid)

    def restore(self) -> None:
        """Forget the views."""
        super().restore()
        del self.view_shifts, self.view_flips, self.view_fill, self.drawn, self.patch


@register_repair
class AverageViews(Repair):
    """Every patch is averaged over shifted views of the image."""

    type = "average_views"
    label = "averaged views"
    colour = "#882255"
    fit_options: ClassVar[Mapping[str, str]] = _OPTIONS
    options: ClassVar[Mapping[str, str]] = _OPTIONS
    swaps = (AveragedViews,)

    def fit(
        self,
        vit: nn.Module,
        images: ImageBatches,
        *,
        views: int = 10,
        shift: float = 0.15,
        flip: float = 0.5,
        fill: Fill = "white",
        seed: int = 0,
    ) -> Artifact:
        """Note the options; the images are not looked at."""
        del images
        facts = {"views": views, "shift": shift, "flip": flip, "fill": fill, "seed": seed}
        _draw(vit, facts)
        return Artifact(self.type, "", {}, facts)

    def apply(self, vit: nn.Module, artifact: Artifact, **options: Any) -> None:
        """Draw the views, and run on them from now on."""
        drawn = {**_DEFAULTS, **artifact.facts, **options}
        views, colour = _draw(vit, drawn)
        like = next(vit.parameters())
        patch = family_of(vit).facts(vit).patch_size
        averaged = mix_image_transform(vit, AveragedViews)
        fill = None if colour is None else like.new_tensor(colour)
        averaged.hold(views.to(like.device), fill, drawn, patch)

    def describe(self, vit: Any) -> dict[str, Any]:
        """What the views were drawn by."""
        return dict(vit.drawn)

    def check(self, artifact: Artifact) -> None:
        """Options that there are."""
        unknown = artifact.facts.keys() - _DEFAULTS.keys()
        if unknown:
            raise InputError(
                f"an artifact of type={self.type!r} with the unknown options "
                f"{', '.join(sorted(unknown))}: expected some of {', '.join(_DEFAULTS)}"
            )

    def shipped(self, model: str) -> Artifact:
        """The same for every model."""
        del model
        return Artifact(self.type, "", {}, _DEFAULTS)


def _draw(vit: nn.Module, options: Mapping[str, Any]) -> tuple[Views, tuple[float, ...] | None]:
    """Draw the views for the model's own grid; at others they are shifted as far in proportion."""
    facts = family_of(vit).facts(vit)
    generator = torch.Generator().manual_seed(options["seed"])
    views = draw_views(
        options["views"], facts.grid, generator, share=options["shift"], flip=options["flip"]
    )
    return views, fill_colour(options["fill"], facts.mean, facts.std)
