"""Tensors and plain data in one safetensors file, nothing of which is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError, MissingFileError


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], entry: str, header: Mapping[str, Any]
) -> None:
    """Write tensors, and plain data as JSON under one entry of the file's header."""
    metadata = {entry: json.dumps(dict(header))}
    write_atomically(path, save(dict(tensors), metadata=metadata))


def read_tensors(
    path: str | Path, entry: str, fields: Mapping[str, type], what: str, expected: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `write_tensors` wrote.

    Args:
        path: the file.
        entry: of the header.
        fields: what the entry has to hold.
        what: the file is, for messages.
        expected: how such a file is made, for messages.

    Returns:
        The entry, and the tensors by name.

    Raises:
        MissingFileError: no such file.
        InputError: another kind of file, or a damaged one.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFileError(f"no {what} at {path}: {expected}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no safetensors file ({error}): {expected}") from error
    try:
        header = json.loads(metadata.get(entry, "null"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its header is no JSON ({error}): {expected}") from error
    if not isinstance(header, dict) or any(
        not isinstance(header.get(name), kind) for name, kind in fields.items()
    ):
        held = ", ".join(sorted(tensors)[:5]) or "nothing"
        raise InputError(f"{path} is no {what}, it holds {held}: {expected}")
    return header, tensors
