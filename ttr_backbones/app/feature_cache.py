"""`--feature-cache`: validation and testing take maps from disk that were computed before."""

from __future__ import annotations

from mmengine.config import Config

from ttr_backbones.app.config import type_name
from ttr_backbones.errors import InputError


def use_feature_cache(cfg: Config, folder: str | None) -> None:
    """Give the frozen backbone of `cfg` a cache for the images of validation and testing.

    Raises:
        InputError: it has no frozen TimmViT.
    """
    if folder is None:
        return
    backbone = cfg.model.get("backbone") or {}
    if type_name(backbone) != "TimmViT" or not backbone.get("frozen", True):
        raise InputError(
            "--feature-cache keeps what a frozen TimmViT computes, and model.backbone is "
            f"{type_name(backbone) or 'not there'}"
            f"{' with frozen=False' if backbone.get('frozen') is False else ''}: leave it out"
        )
    cfg.model.backbone.feature_cache = folder
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), {"type": "ReportFeatureCache"}]
