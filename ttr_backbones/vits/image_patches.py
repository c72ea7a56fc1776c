"""Patches of each image that receive the register neurons' activations.

The paper's "shift to arbitrary positions" (arXiv 2506.08010, 3.2), with positions that differ from
image to image, as those of a text in it (its typographic attack, Table 12).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError

PerImage = Literal["per_image"]
PER_IMAGE: Final[PerImage] = "per_image"


class ImagePatches:
    """What the edited blocks of one model share: the patches of the images of the coming pass.

    Attributes:
        mask: bool [B, h * w], True at the patches that receive; None outside of `patches_receive`.
    """

    mask: Tensor | None = None

    def tokens(self, hidden: Tensor, first_patch: int) -> Tensor:
        """Return the tokens that receive, bool [B, N], of `hidden`, [B, N, D].

        Raises:
            InputError: no patches are named, or those of other images.
        """
        if self.mask is None:
            raise InputError(
                f"this model has positions={PER_IMAGE!r}, and no patches are named: run it within "
                "`with patches_receive(vit, mask):`, mask bool [B, h, w]"
            )
        mask = self.mask
        expected = (hidden.shape[0], hidden.shape[1] - first_patch)
        if mask.shape != expected:
            raise InputError(
                f"the mask names {mask.shape[1]} patches of {mask.shape[0]} images, the model sees "
                f"{expected[1]} patches of {expected[0]}"
            )
        return nn.functional.pad(mask, (first_patch, 0), value=False)


@contextmanager
def patches_receive(vit: Any, mask: Tensor) -> Iterator[None]:
    """Let the patches of `mask` receive the activations in the passes within the context.

    Every image is edited by itself: a batch gives what its images give alone.

    Args:
        vit: with `add_test_time_registers(..., positions="per_image")`.
        mask: bool [B, h, w] or [B, h * w]. An image without any such patch stays unedited: nothing
            could receive what would be taken from it.

    Raises:
        InputError: a model without such positions, or a mask of another kind.
    """
    patches = image_patches(vit)
    if patches is None:
        raise InputError(
            "patches of images receive activations in a model with "
            f"add_test_time_registers(vit, neurons, positions={PER_IMAGE!r}) only"
        )
    if mask.dtype != torch.bool or mask.ndim not in (2, 3):
        raise InputError(
            f"expected a mask bool [B, h, w] or [B, h * w], got {mask.dtype} {tuple(mask.shape)}"
        )
    device = next(vit.parameters()).device
    before, patches.mask = patches.mask, mask.flatten(1).to(device, non_blocking=True)
    try:
        yield
    finally:
        patches.mask = before


def image_patches(vit: Any) -> ImagePatches | None:
    """What the edited blocks of `vit` share; None for a model whose edit knows no images."""
    found: ImagePatches | None = vars(vit).get("image_patches")
    return found


def patches_in_boxes(boxes: list[Tensor], size: tuple[int, int], patch: tuple[int, int]) -> Tensor:
    """Patches that a box touches.

    Args:
        boxes: of each image [n, 4] as x1, y1, x2, y2 in pixels, right and bottom excluded; n may
            be 0.
        size: (H, W) of the images, a multiple of the patch.
        patch: its (height, width).

    Returns:
        bool [B, h, w].

    Raises:
        InputError: another size.
    """
    if size[0] % patch[0] or size[1] % patch[1]:
        raise InputError(f"images of {size} are no multiple of the patch {patch}")
    masks = []
    for of_image in boxes:
        top = torch.arange(0, size[0], patch[0], device=of_image.device)[:, None]
        left = torch.arange(0, size[1], patch[1], device=of_image.device)[None, :]
        x1, y1, x2, y2 = of_image.float().reshape(-1, 4).T[:, :, None, None]
        inside = (left < x2) & (left + patch[1] > x1) & (top < y2) & (top + patch[0] > y1)
        masks.append((inside & (x2 > x1) & (y2 > y1)).any(dim=0))
    return torch.stack(masks)
