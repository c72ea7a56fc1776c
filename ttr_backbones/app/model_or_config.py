"""What a user's MODEL or CONFIG names: a timm model, a config file, or a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ttr_backbones.errors import InputError, MissingFileError, unknown_name
from ttr_backbones.timm_names import vit_names

if TYPE_CHECKING:
    from mmengine.config import Config


class BackboneConfig(NamedTuple):
    """What a name says of the backbone.

    Attributes:
        name: the model, or the config's file or recipe.
        options: the config of a `TimmViT`, a copy.
        preprocessor: the config of the data preprocessor; empty for a timm model.
        is_model: whether `name` is that of a timm model.
    """

    name: str
    options: dict[str, Any]
    preprocessor: dict[str, Any]
    is_model: bool


def is_model_name(name: str) -> bool:
    """Whether `name` is that of a timm model (or `hf-hub:`, `local-dir:`), not of a config."""
    from ttr_backbones.recipes.names import is_timm_name

    return is_timm_name(name) and not Path(name).is_file()


def read_backbone(
    name: str,
    *,
    cfg_options: Sequence[str] | None = None,
    checkpoint: str | Path | None = None,
) -> BackboneConfig:
    """Read what `name` says of the backbone; no weights are loaded.

    Args:
        name: tagged timm name, or a config file or recipe whose `model.backbone` is a `TimmViT`.
        cfg_options: changes to the config, as on the command line.
        checkpoint: weight file of the backbone, in place of what the config or the hub gives.

    Raises:
        MissingFileError: no such model or config, or no such checkpoint.
        InputError: options of a config with a timm model; a config without a `TimmViT`.
    """
    if checkpoint is not None and not Path(checkpoint).expanduser().is_file():
        raise MissingFileError(f"--checkpoint {checkpoint}: no such file")
    if is_model_name(name):
        if cfg_options:
            raise InputError(f"--cfg-options change a config, and {name} is a timm model")
        found = BackboneConfig(
            name, {"type": "TimmViT", "model": name, "pretrained": True}, {}, True
        )
    else:
        found = _of_config(read_named_config(name, cfg_options), name)
    if checkpoint is not None:
        found.options.update(pretrained=False, checkpoint=str(checkpoint))
    return found


def read_named_config(name: str, options: Sequence[str] | None) -> Config:
    """Read a config as `read_config` does, where `name` might have been meant for a timm model.

    Raises:
        MissingFileError: it is neither; the message has the nearest names.
        InputError: an option that cannot be read.
    """
    from ttr_backbones.app.config import read_config
    from ttr_backbones.recipes import all_names, protocol_files

    try:
        return read_config(name, options)
    except MissingFileError as error:
        protocols = protocol_files()
        is_path = name.endswith(".py") or "/" in name
        if is_path or any(name.endswith(f"_{protocol}") for protocol in protocols):
            raise  # it says which part of the name is wrong
        known = [*map(str, all_names()), *protocols, *vit_names()]
        text = unknown_name("timm model or config", name.partition(".")[0], known)
        raise MissingFileError(text) from error


def _of_config(cfg: Config, name: str) -> BackboneConfig:
    from ttr_backbones.app.config import type_name

    options = dict(cfg.model.get("backbone") or {})
    kind = type_name(options)
    if kind != "TimmViT":
        raise InputError(
            f"{cfg.filename or name}: expected a config whose model.backbone is a TimmViT, got "
            f"{kind or 'none'}"
        )
    preprocessor = dict(cfg.model.get("data_preprocessor") or {})
    return BackboneConfig(str(cfg.filename or name), options, preprocessor, False)
