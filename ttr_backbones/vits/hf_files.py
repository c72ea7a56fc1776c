"""The files of a checkpoint of transformers: a folder, or a download from the hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.vits.hub import bounded_hub

PREFIX = "hf:"
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
"""Patterns of the files with weights."""


def is_hf_name(model: str) -> bool:
    """Whether `model` is `hf:NAME`."""
    return model.startswith(PREFIX)


def hub_folder(name: str, patterns: Sequence[str]) -> Path:
    """Return the folder `name`, or one with the files of `owner/name` on the hub.

    Args:
        name: what stands behind `hf:`.
        patterns: which files to fetch.

    Raises:
        MissingFileError: no such folder.
        InputError: they cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise MissingFileError(
            f"{PREFIX}{name}: no such folder; expected one with config.json and model.safetensors, "
            "as save_pretrained of transformers makes it, or OWNER/NAME on the hub"
        )
    try:
        with bounded_hub():
            return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:
        # The hub client raises many kinds; to the user they are one: the files did not come.
        raise InputError(
            f"{PREFIX}{name} could not be had: {str(error).rstrip('.')}. Without a network, fetch "
            f"it on another machine (`hf download {name} --local-dir DIR`) and give hf:DIR"
        ) from error


def read_json(path: Path, model: str) -> dict[str, Any]:
    """Read a file of a folder that `model` names.

    Raises:
        MissingFileError: no such file.
        InputError: it holds no JSON object.
    """
    if not path.is_file():
        raise MissingFileError(
            f"{model}: no {path.name} in {path.parent}; expected a folder as save_pretrained of "
            "transformers makes it"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def weight_files(folder: Path, model: str) -> list[Path]:
    """Return the safetensors in a folder that `model` names.

    Raises:
        MissingFileError: there are none.
    """
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        others = ", ".join(sorted(file.name for file in folder.glob("*.bin"))) or "no weights"
        raise MissingFileError(
            f"{model}: no model.safetensors in {folder} but {others}: expected safetensors, for "
            "which model.save_pretrained(FOLDER) of transformers is enough"
        )
    return files


def tensor_names(files: Sequence[Path]) -> list[str]:
    """Return the names of all tensors of safetensors."""
    keys: list[str] = []
    for file in files:
        with safe_open(file, "pt") as opened:
            keys += list(opened.keys())
    return keys
