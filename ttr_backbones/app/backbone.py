"""The backbone that a user names, by a timm model or by a config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
from mmengine.config import Config
from mmseg.registry import MODELS

from ttr_backbones.app.config import read_config
from ttr_backbones.app.config_errors import clear_config_errors
from ttr_backbones.backbones import TimmViT
from ttr_backbones.errors import InputError, MissingFileError, unknown_name
from ttr_backbones.repairs.choice import repair_of_words


class Normalised(NamedTuple):
    """A backbone and the normalisation of its images, RGB on the scale 0..255."""

    backbone: TimmViT
    mean: list[float]
    std: list[float]


def make_backbone(
    name: str,
    *,
    repair: str | None = None,
    checkpoint: str | Path | None = None,
    blocks: Sequence[int] | None = None,
    cfg_options: Sequence[str] | None = None,
) -> Normalised:
    """Make the backbone of a timm model (last block, after the final norm) or of a config.

    Args:
        name: tagged timm name, `hf-hub:...`, `local-dir:...`, or a config or its packaged name.
        repair: see `repair_of_words`; None leaves it to the config, and means "none" for a timm
            model.
        checkpoint: local weight file of the backbone, in place of the hub's.
        blocks: blocks whose output is taken; None leaves it to the config.
        cfg_options: changes to the config.

    Raises:
        MissingFileError: no such config, list or weight file.
        InputError: see `TimmViT`; a config without one; options of a config with a timm model.
    """
    if checkpoint is not None and not Path(checkpoint).expanduser().is_file():
        raise MissingFileError(f"--checkpoint {checkpoint}: no such file")
    options: dict[str, Any]
    preprocessor: dict[str, Any] = {}
    if is_timm_name(name):
        if cfg_options:
            raise InputError(f"--cfg-options change a config, and {name} is a timm model")
        options = {"type": "TimmViT", "model": name, "pretrained": True}
    else:
        model = read_named_config(name, cfg_options).model
        options = dict(model.get("backbone") or {})
        if options.get("type") not in ("TimmViT", TimmViT):
            raise InputError(
                f"{name}: model.backbone is {options.get('type')!r}, expected type='TimmViT'"
            )
        preprocessor = dict(model.get("data_preprocessor") or {})
    if repair is not None:
        options["repair"] = repair_of_words(repair, options.get("repair"))
    if checkpoint is not None:
        options |= {"pretrained": False, "checkpoint": str(checkpoint)}
    if blocks is not None:
        options["out_indices"] = tuple(blocks)
    with clear_config_errors():
        backbone: TimmViT = MODELS.build(options)
    return Normalised(
        backbone.eval(),
        list(preprocessor.get("mean") or backbone.mean),
        list(preprocessor.get("std") or backbone.std),
    )


def is_timm_name(name: str) -> bool:
    """Whether `name` is that of a timm model rather than of a config."""
    of_timm = name.startswith(("hf-hub:", "local-dir:")) or timm.is_model(name.partition(".")[0])
    return of_timm and not Path(name).is_file()


def read_named_config(name: str, options: Sequence[str] | None) -> Config:
    """Read a config as `read_config` does, where `name` might have been a timm model.

    Raises:
        MissingFileError: it is neither; the nearest names are told.
        InputError: an option that cannot be read.
    """
    try:
        return read_config(name, options)
    except MissingFileError as error:
        near = unknown_name("timm model", name, timm.list_models("vit_*"))
        raise MissingFileError(
            f"{name!r} is no timm model, no config file and no recipe. {near} {error}"
        ) from error
