"""`ReportFeatureCache`: after every evaluation, what the feature cache has saved."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from __future__ import annotations

from typing import Any

import torch

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.backbones.feature_cache import Counts
from ttr_backbones.engine.unwrap import unwrapped


@HOOKS.register_module()
class ReportFeatureCache(Hook):
    """Logs hits, misses and sizes of the backbone's feature cache, of all processes together."""

    def after_val_epoch(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Log what has been done so far."""
        backbone = getattr(unwrapped(runner.model), "backbone", None)
        cache = getattr(backbone, "feature_cache", None)
        if cache is not None:
            counts = torch.tensor(cache.counts)
            all_reduce(counts)
            runner.logger.info(f"feature cache {cache.folder}: {Counts(*counts.tolist())}")

    after_test_epoch = after_val_epoch
