"""Facts of an architecture: sizes, mean and std, norm and positions."""

from __future__ import annotations

from dataclasses import dataclass

from ttr_backbones.vits.tokens import Grid


@dataclass(frozen=True)
class ArchitectureFacts:
    """What the world around a ViT has to know of it.

    Args:
        channels: C of a token.
        patch_size: (height, width) in pixels.
        image_size: (H, W) that it was made for.
        grid: (h, w) of its own position embedding.
        only_this_size: it takes no images of other sizes.
        pads: it pads images that are no multiple of the patch.
        mean: of the training images per RGB channel, on the scale 0..1.
        std: their standard deviation.
        norms_tokens: it has a final norm that applies to every token.
        prefix_has_positions: the position embedding has rows for the prefix.
    """

    channels: int
    patch_size: Grid
    image_size: Grid
    grid: Grid
    only_this_size: bool
    pads: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    norms_tokens: bool
    prefix_has_positions: bool

    def grid_of(self, size: Grid) -> Grid:
        """Patches (h, w) of images of `size` (H, W)."""
        (H, W), (height, width) = size, self.patch_size
        if self.pads:
            return -(-H // height), -(-W // width)
        return H // height, W // width
