"""From names and patterns to the models of an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import timm

from ttr_backbones.app.vit_source import VitSource
from ttr_backbones.errors import InputError, MissingFileError, unknown_name
from ttr_backbones.recipes import axis_files, backbone_facts

# Modules of timm with models of the families of `vits`.
_MODULES = ("vision_transformer", "eva", "deit")


def atlas_models(names: Sequence[str], checkpoints: Sequence[str]) -> dict[str, VitSource]:
    """Look up every model.

    Args:
        names: tagged timm names, names of `configs/backbones`, hub and folder names (with a colon),
            or patterns of either (`vit_*_patch14_dinov2.*`).
        checkpoints: NAME=FILE, a model with the weights of a file; a name may come several times.

    Returns:
        {title: source}, in order, each once.

    Raises:
        MissingFileError: a file that does not exist.
        InputError: no name at all, or one that is unknown or matches nothing.
    """
    found: dict[str, VitSource] = {}
    for option in checkpoints:
        name, equals, file = option.partition("=")
        if not (name and equals and file):
            raise InputError(f"--checkpoint {option}: expected NAME=FILE")
        path = Path(file).expanduser()
        if not path.is_file():
            raise MissingFileError(f"--checkpoint {option}: no such file {path}")
        found[f"{name}={path}"] = VitSource(_model(name), path)
    for name in names:
        if set(name) & set("*?["):
            matching = _matching(name)
            if not matching:
                raise InputError(f"no pretrained ViT of timm and no backbone matches {name!r}")
            found |= {each: VitSource(_model(each)) for each in matching}
        else:
            found[name] = VitSource(_model(name))
    if not found:
        raise InputError("expected the name of a model, a pattern, or --checkpoint NAME=FILE")
    return found


def origin(source: VitSource) -> str:
    """Where the weights are from, in a word: "hub", or the name of the file or folder."""
    if source.checkpoint is not None:
        return source.checkpoint.name
    folder = source.model.removeprefix("local-dir:")
    return "hub" if folder == source.model else Path(folder).name


def licence(source: VitSource) -> str:
    """The licence of the weights as timm names it; "unknown" for those of a file or folder."""
    known = source.checkpoint is None and timm.is_model(source.model.partition(".")[0])
    cfg = timm.get_pretrained_cfg(source.model, allow_unregistered=True) if known else None
    return str((cfg.license if cfg is not None else None) or "unknown")


def _model(name: str) -> str:
    if ":" in name or timm.is_model(name.partition(".")[0]):
        return name
    if name in axis_files("backbones"):
        return str(backbone_facts(name).backbone.model)
    tagged = [model for module in _MODULES for model in _pretrained(module, "")]
    architectures = {model.partition(".")[0] for model in tagged}
    known = [*axis_files("backbones"), *(tagged if "." in name else architectures)]
    raise InputError(unknown_name("model", name, known))


def _matching(pattern: str) -> list[str]:
    short = [name for name in axis_files("backbones") if fnmatchcase(name, pattern)]
    return [*short, *(name for module in _MODULES for name in _pretrained(module, pattern))]


def _pretrained(module: str, pattern: str) -> list[str]:
    return list(timm.list_models(pattern, module=module, pretrained=True))
