"""From a config and a checkpoint to a model that predicts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.utils import import_modules_from_strings
from mmseg.registry import DATASETS, MODELS
from numpy.typing import NDArray
from torch import nn

from ttr_backbones.cli.config import apply_options, datasets
from ttr_backbones.cli.run import clear_config_errors
from ttr_backbones.engine.fit import check_fit, left_aside
from ttr_backbones.engine.input_size import far_from_calibrated
from ttr_backbones.engine.normalization import normalization_problem
from ttr_backbones.engine.safe_loading import safe_loaders
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.recipes import named_config


def read_config(
    config: str | Path | Config, options: Mapping[str, Any] | Sequence[str] | None
) -> Config:
    """Read a config with all that it imports registered.

    Args:
        config: a file, the name of a packaged config, or a Config (left as it is).
        options: changes to it: {"a.b": value}, or as on the command line, ["a.b=value"].

    Raises:
        MissingFileError: no such config.
        InputError: an option that cannot be read, or that nobody would read.
    """
    if isinstance(config, Config):
        cfg = config.copy()
    else:
        cfg = named_config(config)
    apply_options(cfg, options)
    # mmengine 0.10 does this for text configs only.
    import_modules_from_strings(**cfg.get("custom_imports") or {"imports": []})
    init_default_scope(cfg.get("default_scope", "mmseg"))
    if not isinstance(cfg.get("model"), dict):
        raise InputError(f"{cfg.filename or 'the config'} has no model: expected a complete config")
    return cfg


def build_model(cfg: Config, checkpoint: str | Path | None) -> nn.Module:
    """Build the model of a config, with the weights of `checkpoint`, in eval mode.

    Raises:
        MissingFileError: no such checkpoint.
        InputError: a checkpoint is missing, superfluous or does not fit.
    """
    if checkpoint is None and "decode_head" in cfg.model:
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
    for doubt in (normalization_problem(model), far_from_calibrated(model)):
        if doubt is not None:
            print_log(doubt, logger="current", level=logging.WARNING)
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
    raise InputError("the config has no test_dataloader.dataset.pipeline to read images by")


def classes_and_palette(
    dataset: Mapping[str, Any], num_classes: int
) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Names and RGB colours of the classes of a data set.

    Args:
        dataset: its config.
        num_classes: of the head; without names or colours for all of them, numbers and a palette
            drawn at random, always the same, stand in.
    """
    kind = dataset["type"]
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    meta = {**getattr(kind, "METAINFO", {}), **(dataset.get("metainfo") or {})}
    names, colours = meta.get("classes") or (), meta.get("palette") or ()
    if len(names) != num_classes:
        names = [f"class {number}" for number in range(num_classes)]
    if len(colours) != num_classes:
        colours = np.random.default_rng(0).integers(40, 256, (num_classes, 3))
    return tuple(name.strip() for name in names), np.asarray(colours, dtype=np.uint8)
