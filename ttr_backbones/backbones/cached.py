"""A `TimmViT` that takes the maps of images it has seen before from disk."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ttr_backbones.backbones.description import description
from ttr_backbones.backbones.feature_cache import FeatureCache
from ttr_backbones.backbones.timm_vit import TimmViT, is_watched
from ttr_backbones.errors import InputError
from ttr_backbones.vits.image_patches import image_patches
from ttr_backbones.vits.taps import Tap


class CachedTimmViT(TimmViT):
    """What `cache_features` makes of a frozen `TimmViT`.

    Attributes:
        feature_cache: where the maps of images given in eval mode are kept.
    """

    feature_cache: FeatureCache

    def tapped(self, x: Tensor, taps: Sequence[Tap]) -> dict[Tap, Tensor]:
        """As `TimmViT.tapped`, which computes only what is not on disk.

        While training, while hooks look at what the model does, and where the maps depend on
        patches that are named beside the images, all of it is computed.
        """
        if self.training or is_watched(self) or image_patches(self.vit) is not None:
            return super().tapped(x, taps)
        wanted = list(dict.fromkeys(taps))

        def compute(images: Tensor) -> list[Tensor]:
            return list(TimmViT.tapped(self, images, wanted).values())

        return dict(zip(wanted, self.feature_cache(x, compute, wanted), strict=True))


def cache_features(backbone: TimmViT, folder: str | Path) -> CachedTimmViT:
    """Let a frozen backbone keep its maps in `folder` and take them from there.

    Args:
        backbone: changed in place, by its class alone.
        folder: see `FeatureCache`.

    Raises:
        InputError: the backbone is trained, or `folder` is a file.
    """
    if not backbone.frozen:
        raise InputError(
            f"a feature cache ({folder}) keeps what a frozen backbone computes, and this one has "
            "frozen=False: leave one of them out"
        )
    cache = FeatureCache(folder, functools.partial(description, backbone))
    backbone.__class__ = CachedTimmViT
    assert isinstance(backbone, CachedTimmViT)
    backbone.feature_cache = cache
    return backbone
