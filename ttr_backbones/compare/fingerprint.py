"""Fingerprint of a config, by which stored results are found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ttr_backbones.repairs.from_config import repair_options

# These change where a result goes and how fast it comes, not what it is.
_OUTSIDE = {
    "": {"work_dir", "launcher", "experiment_name", "log_level", "log_processor", "visualizer"},
    "default_hooks": {"timer", "logger", "checkpoint", "visualization"},
}
_OUTSIDE_HOOKS = {"CacheFeatures"}
_LOADING = {"num_workers", "persistent_workers", "prefetch_factor", "pin_memory"}
_OUTSIDE |= {f"{split}_dataloader": _LOADING for split in ("train", "val", "test")}


def fingerprint(
    cfg: Config, *, tta: bool = False, data: Path | None = None, weights: str | None = None
) -> str:
    """Return 64 hex digits that change with everything in `cfg` that a result depends on.

    A repair counts by what it does, wherever the file of its artifact lies; the weights of a model
    and the images count by the name of their file or folder, unless the caller knows their content.

    Args:
        cfg: the complete config, seed included.
        tta: whether the test averages over scales and flips.
        data: folder whose name does not count, for the caller adds the content of what is in it.
        weights: hash of the weights, which then counts in place of their file's name.
    """
    content = cfg.to_dict()
    for part, keys in _OUTSIDE.items():
        within = content.get(part) if part else content
        for key in keys & set(within or ()):
            del within[key]
    hooks = content.pop("custom_hooks", None) or []
    if hooks := [hook for hook in hooks if hook["type"] not in _OUTSIDE_HOOKS]:
        content["custom_hooks"] = hooks
    backbone = content["model"]["backbone"]
    choice = repair_options(backbone["model"], backbone.get("repair"))
    backbone["repair"] = None if choice is None else choice.identity
    if weights is not None:
        backbone["checkpoint"] = weights
    plain = _plain({**content, "tta": tta}, "" if data is None else f"{data}/")
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any, folder: str) -> Any:
    """Make keys strings, so that they can be sorted, tuples lists, and paths in `folder` short."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, folder) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, folder) for inner in value]
    return value.removeprefix(folder) if isinstance(value, str) else value
