"""A `TimmViT` that takes the maps of images it has seen before from disk."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ttr_backbones.backbones.description import description
from ttr_backbones.backbones.feature_cache import FeatureCache
from ttr_backbones.backbones.timm_vit import TimmViT, has_hooks
from ttr_backbones.errors import InputError
from ttr_backbones.vits.image_patches import image_patches
from ttr_backbones.vits.taps import Tap


class CachedTimmViT(TimmViT):
    """What `cache_features` makes of a frozen `TimmViT`.

    Attributes:
        feature_cache: where the maps of images given in eval mode are kept.
        cache_training: also keep those of images given while training: good where these come
            again exactly as they are, without augmentation.
    """

    feature_cache: FeatureCache
    cache_training = False

    @property
    def uses_cache(self) -> bool:
        """Whether images given now are looked up.

        Not while training, without `cache_training`; not while hooks look at what the model does;
        and not where the maps depend on patches that are named beside the images.
        """
        keeps = self.cache_training or not self.training
        return keeps and not has_hooks(self) and image_patches(self.vit) is None

    def tapped(self, x: Tensor, taps: Sequence[Tap]) -> dict[Tap, Tensor]:
        """As `TimmViT.tapped`, which computes only what is not on disk.

        Where the cache is not used (see `uses_cache`) all of it is computed.
        """
        if not self.uses_cache:
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
