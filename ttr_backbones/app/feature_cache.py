"""`--feature-cache`: validation and testing take maps from disk that were computed before."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from ttr_backbones.app.config import datasets, type_name
from ttr_backbones.errors import InputError

_MODULE = "ttr_backbones.report.feature_cache_hook"


def use_feature_cache(cfg: Config, folder: str | None) -> None:
    """Give the frozen backbone of `cfg` a cache for the images of validation and testing.

    It is for those of training too where these come again exactly as they are: where the pipelines
    of training and validation are the same.

    Raises:
        InputError: it has no frozen TimmViT.
    """
    if folder is None:
        return
    require_frozen_backbone(cfg)
    hook: dict[str, Any] = {"type": "CacheFeatures", "folder": folder}
    if _trains_on_what_it_tests(cfg):
        hook["training"] = True
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]
    # So that the config in the work dir runs without this command too.
    imports = dict(cfg.get("custom_imports") or {})
    cfg.custom_imports = imports | {"imports": [*(imports.get("imports") or []), _MODULE]}


def require_frozen_backbone(cfg: Config) -> None:
    """Check that the backbone of a config has features to be kept.

    Raises:
        InputError: it is no frozen TimmViT.
    """
    backbone = cfg.model.get("backbone") or {}
    if type_name(backbone) != "TimmViT" or not backbone.get("frozen", True):
        raise InputError(
            "--feature-cache keeps what a frozen TimmViT computes, and model.backbone is "
            f"{type_name(backbone) or 'not there'}"
            f"{' with frozen=False' if backbone.get('frozen') is False else ''}: leave it out"
        )


def _trains_on_what_it_tests(cfg: Config) -> bool:
    """Whether images are trained on exactly as they are validated, without augmentation."""
    train, val = (
        [step for _, data in datasets(cfg, (loader,)) for step in data.get("pipeline") or []]
        for loader in ("train_dataloader", "val_dataloader")
    )
    return bool(train) and [step for step in train if type_name(step) != "SeedSample"] == val
