"""A ViT that transforms its input images first, and maps its tokens back to these.

`mix_image_transform` puts such a class on a model. The model's forward pass, `Family.run`, taps and
readers all transform images by `inner_images` and map sequences of tokens back by `outer_tokens`:
the caller sees as many images, tokens and positions as without it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import Mixin, check_plain, mix
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.tokens import Grid, Tokens


class ImageTransform(Mixin):
    """Mixin of such a ViT; subclasses define the transform and how tokens are mapped back.

    Attributes:
        outer_grid: (h, w) of the last input images, before the transform.
    """

    is_test_time = False
    outer_grid: Grid

    def inner_images(self, images: Tensor) -> Tensor:
        """Input images [B, 3, H, W] -> the transformed images that the blocks run on."""
        raise NotImplementedError

    def inner_grid(self, grid: Grid) -> Grid:
        """Patches (h, w) of an input image -> of its transformed image."""
        return grid

    def outer_prefix(self, prefix: Tensor) -> Tensor:
        """CLS and trained registers of the transformed images -> of the input images, [B, P, C]."""
        raise NotImplementedError

    def outer_patches(self, patches: Tensor, grid: Grid) -> Tensor:
        """Patches of the transformed images -> of the input images, [B, h * w, C]."""
        raise NotImplementedError

    def forward_features(self, x: Tensor, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Return the tokens of the input images, [B, P + N, C]."""
        refuse_mask(attn_mask)
        inner: Any = super()
        return outer_tokens(self, inner.forward_features(inner_images(self, x), **kwargs))

    def restore(self) -> None:
        """Forget the last images."""
        self.__dict__.pop("outer_grid", None)


def mix_image_transform(vit: nn.Module, kind: type[ImageTransform]) -> Any:
    """Let `vit` transform its input images, until `unmix_all`.

    Args:
        vit: without a repair, for images of any size; changed in place.
        kind: the transform.

    Returns:
        `vit`.

    Raises:
        InputError: a model for one image size, or of a family whose inputs cannot be transformed.
    """
    check_plain(vit)
    family = family_of(vit)
    family.check(vit)
    if not family.register_tokens.transforms_images:
        raise InputError(
            f"the inputs of a {family.name} cannot be transformed: use another repair, or the same "
            "weights in timm"
        )
    if family.facts(vit).only_this_size:
        raise InputError(
            "this model takes images of one size only: make it with dynamic_img_size=True"
        )
    mixed: Any = vit
    mix(vit, family.register_tokens)  # none are added: it is how outputs are laid out anew
    mixed.set_num_registers(0)
    mix(vit, kind)
    return mixed


def inner_images(vit: nn.Module, images: Tensor) -> Tensor:
    """Return the images that the blocks of `vit` run on, of input images [B, 3, H, W]."""
    if not isinstance(vit, ImageTransform):
        return images
    vit.outer_grid = family_of(vit).facts(vit).grid_of((images.shape[2], images.shape[3]))
    return vit.inner_images(images)


def inner_grid(vit: nn.Module, grid: Grid) -> Grid:
    """Return the patches (h, w) of a transformed image, of input images of `grid` patches."""
    return vit.inner_grid(grid) if isinstance(vit, ImageTransform) else grid


def outer_tokens(vit: nn.Module, sequence: Tensor) -> Tensor:
    """Map a sequence of the last forward pass back to the input images.

    Args:
        vit: the model.
        sequence: prefix and patches, or anything else per token, [b, P + n, C].

    Returns:
        [B, P + h * w, C].
    """
    if not isinstance(vit, ImageTransform):
        return sequence
    prefix, patches = sequence.tensor_split((family_of(vit).num_prefix(vit),), dim=1)
    patches = vit.outer_patches(patches, vit.outer_grid)
    return torch.cat([vit.outer_prefix(prefix), patches], dim=1) if prefix.shape[1] else patches


def outer_parts(vit: nn.Module, tokens: Tokens) -> Tokens:
    """Map the parts of a sequence back to the input images."""
    if not isinstance(vit, ImageTransform):
        return tokens
    patches = vit.outer_patches(tokens.patches, vit.outer_grid)
    prefix, registers = map(vit.outer_prefix, (tokens.prefix, tokens.registers))
    return Tokens(prefix, registers, patches)


def refuse_mask(mask: Tensor | None) -> None:
    """Raise InputError for a mask, which is of the tokens of the input images."""
    if mask is not None:
        raise InputError(
            "attn_mask is of the tokens of the input images, and this model transforms its inputs "
            "first: leave attn_mask out, or take the repair off"
        )
