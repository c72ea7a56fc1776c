"""A segmentation protocol on the user's images and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from ttr_backbones.errors import InputError

_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
_FOLDERS = {"img_path", "seg_map_path"}


def on_folders(
    config: Config,
    *,
    data_root: str,
    classes: Sequence[str],
    train: Mapping[str, str],
    val: Mapping[str, str],
    **options: Any,
) -> Config:
    """Return `config`, changed in place, on images and masks in folders.

    A mask is a PNG of class numbers that is called as its image: 0, 1, ... in the order of
    `classes`, 255 where a pixel does not count. Everything else stays as the protocol has it.

    Args:
        config: a recipe of segmentation.
        data_root: folder that the others lie in.
        classes: names of the classes.
        train: dict(img_path=FOLDER, seg_map_path=FOLDER) of the training.
        val: the same for validation and test.
        **options: more arguments of mmseg's `BaseSegDataset`: `img_suffix` (".jpg"),
            `seg_map_suffix` (".png"), `reduce_zero_label=True` (0 does not count, and the classes
            begin at 1), `ignore_index`, ...

    Raises:
        InputError: no recipe of segmentation, one class only, or other folders than those two.
    """
    head = (config.get("model") or {}).get("decode_head") or {}
    if "num_classes" not in head or any(name not in config for name in _LOADERS):
        raise InputError(
            f"on_folders: {config.filename} is no recipe of segmentation that trains; take one as "
            "linear_ade20k, and set data_root and data_prefix of other data sets yourself"
        )
    if isinstance(classes, str) or len(classes) < 2:
        raise InputError(f"on_folders: expected the names of two classes or more, got {classes!r}")
    for split, folders in {"train": train, "val": val}.items():
        if set(folders) != _FOLDERS:
            raise InputError(
                f"on_folders: {split}={dict(folders)}: expected dict(img_path=FOLDER, "
                "seg_map_path=FOLDER)"
            )
    reduce_zero_label = bool(options.get("reduce_zero_label", False))
    head["num_classes"] = len(classes)
    for name in _LOADERS:
        config[name]["dataset"] = {
            "type": "BaseSegDataset",
            "data_root": data_root,
            "data_prefix": dict(train if name == "train_dataloader" else val),
            "metainfo": {"classes": list(classes)},
            **options,
            "pipeline": config[name]["dataset"]["pipeline"],
        }
    pipelines = ("train_pipeline", "test_pipeline", "tta_pipeline")
    for step in _steps([config.get(name) for name in (*_LOADERS, *pipelines)]):
        if step.get("type") == "LoadSegMask":
            step.update(num_classes=len(classes), reduce_zero_label=reduce_zero_label)
    return config


def _steps(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every dict in `node`, however deep it lies."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list | tuple):
        for inner in node:
            yield from _steps(inner)
