"""From a name to a full mmengine config: a backbone, with or without a repair, on a protocol."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ttr_backbones.compat import config_from_file
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.package_data import configs_dir
from ttr_backbones.recipes.axes import protocol_named
from ttr_backbones.recipes.axis_facts import backbone_facts
from ttr_backbones.recipes.evaluate import evaluate
from ttr_backbones.recipes.names import NO_REPAIR, RecipeName, parse_name, repair_path


def recipe(name: str, *, backbone: str | None = None, repair: str | None = None) -> Config:
    """Return the full config of a backbone, with or without a repair, on a protocol.

    Args:
        name: `<backbone>[_<repair>]_<protocol>`, as in "dinov2_vitl14_ttr_linear_ade20k", or a
            protocol alone, "linear_ade20k".
        backbone: with a protocol alone: file in `configs/backbones`, any timm name, or the path of
            such a file; None is the small backbone that the protocol's own file imports.
        repair: file in `configs/repairs`, or "none"; None leaves it to the name.

    Raises:
        MissingFileError: a part of the name is unknown.
        InputError: name and arguments contradict each other, or the backbone is no ViT.
    """
    return expand(parse_name(name, backbone=backbone, repair=repair))


def expand(name: RecipeName) -> Config:
    """Return the full config of a name that was taken apart.

    Raises:
        InputError: see `backbone_facts`.
    """
    values = backbone_facts(name.backbone)
    path, data = protocol_named(name.protocol)
    config = evaluate(path, values, data).values
    if name.repair is not None:
        special = (values.facts.get("repairs") or {}).get(name.repair) or {}
        _set_repair(config, {**repair_config(name.repair), **copy.deepcopy(special)})
        _import_modules(config, name.repair)
    # Runs and their dumps take their name from the file's, though there is none.
    return Config(config, cfg_text=f"# ttrb config {name}\n", filename=f"{name}.py")


def named_config(
    name: str | Path | RecipeName, *, backbone: str | None = None, repair: str | None = None
) -> Config:
    """Return the config of a file, or else the recipe of that name.

    Args:
        name: the path of any mmengine config, or what `recipe` takes.
        backbone: as in `recipe`; a file of the user's names its backbone itself.
        repair: as in `recipe`; in a file of the user's it replaces that of a `TimmViT`.

    Raises:
        MissingFileError: neither a file nor a recipe.
        InputError: see `recipe`; a folder; or an option that this config cannot take.
    """
    if isinstance(name, RecipeName):
        return expand(name)
    path = Path(name).expanduser()
    if path.is_file() and not _is_protocol(path):
        return _of_file(path, backbone, repair)
    try:
        return recipe(path.stem if path.is_file() else str(name), backbone=backbone, repair=repair)
    except MissingFileError as error:
        if path.is_dir():
            raise InputError(
                f"{path} is a folder, expected a config file; give one .py file in it."
            ) from error
        raise


def _is_protocol(path: Path) -> bool:
    return path.resolve().parent == (configs_dir() / "protocols").resolve()


def _of_file(path: Path, backbone: str | None, repair: str | None) -> Config:
    if backbone is not None:
        raise InputError(
            f"--backbone goes with the name of a protocol, and {path} is a config with a backbone "
            "of its own: change it there, or with --cfg-options model.backbone.model=NAME."
        )
    config: Config = config_from_file(path)
    if repair is not None:
        _repair_of_file(config, repair)
    return config


def _repair_of_file(config: Config, repair: str) -> None:
    backbone = (config.get("model") or {}).get("backbone") or {}
    kind = backbone.get("type")
    if getattr(kind, "__name__", kind) != "TimmViT":
        raise InputError(
            f"--repair {repair}: {config.filename} has no model.backbone of type='TimmViT' to "
            "apply it to"
        )
    if repair == NO_REPAIR:
        _set_repair(config, None)
        return
    _set_repair(config, repair_config(repair))
    _import_modules(config, repair)


def repair_config(name: str) -> dict[str, Any]:
    """Return what a repair's file, packaged or the user's, gives as `model.backbone.repair`.

    Raises:
        MissingFileError: there is none.
        InputError: it gives none.
    """
    path = repair_path(name)
    repair = evaluate(path).values.get("repair")
    if not isinstance(repair, dict) or "type" not in repair:
        raise InputError(f"{path}: expected `repair = dict(type=...)`, as in configs/repairs")
    return dict(repair)


def repair_imports(name: str) -> list[str]:
    """Return the modules that a file in `configs/repairs`, or one's own, wants to be imported."""
    imports = evaluate(repair_path(name)).values.get("custom_imports") or {}
    return list(imports.get("imports") or [])


def _import_modules(config: Config | ConfigDict, name: str) -> None:
    """Let the config import what the file of a repair says in its `custom_imports`."""
    wanted = repair_imports(name)
    known = dict(config.get("custom_imports") or {})
    imports = list(known.get("imports") or [])
    if more := [module for module in wanted if module not in imports]:
        config["custom_imports"] = {**known, "imports": imports + more}


def _set_repair(config: Config | ConfigDict, repair: dict[str, Any] | None) -> None:
    config["model"]["backbone"]["repair"] = repair
