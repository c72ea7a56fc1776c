"""`CacheFeatures`: a Runner's frozen backbone takes maps from disk that it has computed before."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from __future__ import annotations

from typing import Any

import torch

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones.cached import CachedTimmViT, cache_features
from ttr_backbones.backbones.feature_cache import Counts
from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.errors import InputError


@HOOKS.register_module()
class CacheFeatures(Hook):
    """Gives the backbone a cache for validation and testing, and logs what it has saved.

    Args:
        folder: of the cache; any number of runs and processes may share it.
        training: for the images of training too: these have to come again exactly as they are.
    """

    def __init__(self, folder: str, training: bool = False) -> None:
        self.folder, self.training = folder, training

    def before_run(self, runner: Any) -> None:
        """Put the cache in front of the backbone.

        Raises:
            InputError: the model has no frozen `TimmViT` as its backbone.
        """
        backbone = getattr(unwrapped(runner.model), "backbone", None)
        if isinstance(backbone, CachedTimmViT):
            return  # tested after it was trained
        if not isinstance(backbone, TimmViT):
            raise InputError(
                "a feature cache keeps what a TimmViT computes, and model.backbone is "
                f"{type(backbone).__name__}: take CacheFeatures out of custom_hooks"
            )
        cache_features(backbone, self.folder).cache_training = self.training

    def after_val_epoch(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Log hits, misses and sizes so far, of all processes together."""
        model: Any = unwrapped(runner.model)
        cache = model.backbone.feature_cache
        counts = torch.tensor(cache.counts)
        all_reduce(counts)
        runner.logger.info(f"feature cache {cache.folder}: {Counts(*counts.tolist())}")

    after_test_epoch = after_val_epoch
