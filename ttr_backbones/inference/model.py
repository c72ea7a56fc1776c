"""From a config and a checkpoint to a model that predicts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from mmseg.registry import DATASETS, MODELS
from numpy.typing import NDArray
from torch import nn

from ttr_backbones.app.config import datasets
from ttr_backbones.app.config_errors import clear_config_errors
from ttr_backbones.engine.input_size import input_size_warning
from ttr_backbones.engine.normalization import end_range_check, normalization_problem
from ttr_backbones.engine.published_names import renamed
from ttr_backbones.engine.safe_loading import safe_loaders
from ttr_backbones.engine.state_dict_check import check_fit, left_aside
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.tasks.of_config import needs_checkpoint


def build_model(cfg: Config, checkpoint: str | Path | None) -> nn.Module:
    """Build the model of a config, with the weights of `checkpoint`, in eval mode.

    Raises:
        MissingFileError: no such checkpoint.
        InputError: a checkpoint is missing, superfluous or does not fit.
    """
    if checkpoint is None and needs_checkpoint(cfg):
        raise InputError(
            "this model has a head to load, and no checkpoint was given: expected an iter_*.pth of "
            "`ttrb train` or a released head"
        )
    if checkpoint is not None and "://" not in str(checkpoint):
        checkpoint = Path(checkpoint).expanduser()
        if not checkpoint.is_file():  # before gigabytes of backbone are fetched
            raise MissingFileError(f"the checkpoint {checkpoint} does not exist or is no file")
    with clear_config_errors():
        model: nn.Module = MODELS.build(cfg.model)
    if checkpoint is not None:
        _load(model, str(checkpoint))
    for doubt in (normalization_problem(model), input_size_warning(model)):
        if doubt is not None:
            print_log(doubt, logger="current", level=logging.WARNING)
    end_range_check(model)
    return model.eval()


def _load(model: nn.Module, checkpoint: str) -> None:
    if not model.state_dict():
        raise InputError(
            f"{type(model).__name__} has nothing to train, so {checkpoint} cannot be loaded into "
            "it: leave it out. Weights of the backbone go to model.backbone.checkpoint."
        )
    with safe_loaders():
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu", logger="silent")
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    state = renamed(state) or state
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    source = f"the checkpoint {checkpoint}"
    aside = check_fit(model, state, source)
    if aside:
        print_log(left_aside(aside, source), logger="current")
    model.load_state_dict(state, strict=False)


def test_dataset(cfg: Config) -> dict[str, Any]:
    """Config of the test data set, inside whatever wraps it.

    Raises:
        InputError: there is none, or it has no pipeline to read images by.
    """
    for _, dataset in datasets(cfg, ("test_dataloader",)):
        if "pipeline" in dataset:
            return dataset
    raise InputError(
        "the config has no test_dataloader.dataset.pipeline, by which images are read: add one, or "
        "take a config that can be tested"
    )


def classes_and_palette(
    dataset: Mapping[str, Any], num_classes: int, names: Sequence[str] = ()
) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Names and RGB colours of the classes of a data set.

    Args:
        dataset: its config.
        num_classes: of the head; without names or colours for all of them, numbers and a palette
            drawn at random, always the same, stand in.
        names: of the model's own classes, where it has any: a data set of as many may have others.
    """
    kind = dataset["type"]
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    meta = {**getattr(kind, "METAINFO", {}), **(dataset.get("metainfo") or {})}
    labels, colours = meta.get("classes") or (), meta.get("palette") or ()
    if names:
        labels = names
    elif not labels and hasattr(kind, "classes_on_disk"):
        labels = kind.classes_on_disk(dataset)
    if len(labels) != num_classes:
        labels = [f"class {number}" for number in range(num_classes)]
    if len(colours) != num_classes:
        colours = np.random.default_rng(0).integers(40, 256, (num_classes, 3))
    return tuple(name.strip() for name in labels), np.asarray(colours, dtype=np.uint8)
