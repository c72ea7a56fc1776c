"""A ViT that runs on images made of those that it is given, and gives out what belongs to these.

`mix_around` puts such a class on a model. Its own pass, `Family.run`, the taps and readers then all
hand the images in by `inner_images` and every sequence of tokens out by `outer_tokens`: whoever
calls the model sees as many images, tokens and positions as without.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import Mixin, check_plain, mix
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.tokens import Grid, Tokens


class Around(Mixin):
    """What a ViT takes on; subclasses say which images, and how to get back from their tokens.

    Attributes:
        outer_grid: (h, w) of the images given last.
    """

    is_test_time = False
    outer_grid: Grid

    def inner_images(self, images: Tensor) -> Tensor:
        """Images given [B, 3, H, W] -> those that the model runs on."""
        raise NotImplementedError

    def inner_grid(self, grid: Grid) -> Grid:
        """Patches (h, w) of an image given -> of one that the model runs on."""
        return grid

    def outer_prefix(self, prefix: Tensor) -> Tensor:
        """CLS and trained registers of what the model ran on -> of the images given, [B, P, C]."""
        raise NotImplementedError

    def outer_patches(self, patches: Tensor, grid: Grid) -> Tensor:
        """Patches of what the model ran on -> of the images given, [B, h * w, C]."""
        raise NotImplementedError

    def forward_features(self, x: Tensor, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Give the tokens that the model gives: [B, P + N, C]."""
        refuse_mask(attn_mask)
        inner: Any = super()
        return outer_tokens(self, inner.forward_features(inner_images(self, x), **kwargs))

    def restore(self) -> None:
        """Forget the last images."""
        self.__dict__.pop("outer_grid", None)


def mix_around(vit: nn.Module, kind: type[Around]) -> Any:
    """Let `vit` run on other images, until `unmix_all`.

    Args:
        vit: without a repair, for every size; changed in place.
        kind: how.

    Returns:
        `vit`.

    Raises:
        InputError: a model for one size alone, or of a family that only runs on what it is given.
    """
    check_plain(vit)
    family = family_of(vit)
    family.check(vit)
    if not family.register_tokens.takes_other_images:
        raise InputError(
            f"a {family.name} runs only on the images that it is given: use another repair, or the "
            "same weights in timm"
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
    """Return what `vit` runs on when it is given images [B, 3, H, W]."""
    if not isinstance(vit, Around):
        return images
    vit.outer_grid = family_of(vit).facts(vit).grid_of((images.shape[2], images.shape[3]))
    return vit.inner_images(images)


def inner_grid(vit: nn.Module, grid: Grid) -> Grid:
    """Return the patches (h, w) that `vit` has inside for images of `grid` patches."""
    return vit.inner_grid(grid) if isinstance(vit, Around) else grid


def outer_tokens(vit: nn.Module, sequence: Tensor) -> Tensor:
    """Return what belongs to the images given, of a sequence of the last pass.

    Args:
        vit: the model.
        sequence: prefix and patches, or anything else per token, [b, P + n, C].

    Returns:
        [B, P + h * w, C].
    """
    if not isinstance(vit, Around):
        return sequence
    prefix, patches = sequence.tensor_split((family_of(vit).num_prefix(vit),), dim=1)
    patches = vit.outer_patches(patches, vit.outer_grid)
    return torch.cat([vit.outer_prefix(prefix), patches], dim=1) if prefix.shape[1] else patches


def outer_parts(vit: nn.Module, tokens: Tokens) -> Tokens:
    """Return what belongs to the images given, of the parts of a sequence."""
    if not isinstance(vit, Around):
        return tokens
    patches = vit.outer_patches(tokens.patches, vit.outer_grid)
    prefix, registers = map(vit.outer_prefix, (tokens.prefix, tokens.registers))
    return Tokens(prefix, registers, patches)


def refuse_mask(mask: Tensor | None) -> None:
    """Raise InputError for a mask of tokens that the model does not have."""
    if mask is not None:
        raise InputError(
            "this model runs on other images than it is given, which have other tokens: there is "
            "no attn_mask for them"
        )
