"""preprocessor_config.json of a checkpoint of transformers: how its images are to be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ttr_backbones.errors import InputError
from ttr_backbones.vits.hf_files import read_json

_CHANNELS = 3


class ImagePreprocessing(NamedTuple):
    """What a checkpoint says of its images; None where it does not say it.

    Attributes:
        mean: per channel.
        std: likewise.
        size: (H, W).
    """

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    size: tuple[int, int] | None


def image_preprocessing(folder: Path, model: str) -> ImagePreprocessing | None:
    """Read it from a folder that `model` names.

    Returns:
        None where no file says anything.

    Raises:
        InputError: no JSON, or not three numbers for a mean or std.
    """
    path = folder / "preprocessor_config.json"
    nested = folder / "processor_config.json"  # where transformers 5 has it in a whole model
    if not path.is_file() and nested.is_file() and "image_processor" in read_json(nested, model):
        path = nested
    if not path.is_file():
        return None
    read = read_json(path, model)
    read = read["image_processor"] if path == nested else read
    mean, std = (_channels(path, read, what) for what in ("image_mean", "image_std"))
    return ImagePreprocessing(mean, std, _size(read))


def _channels(path: Path, read: dict[str, Any], what: str) -> tuple[float, ...] | None:
    values = read.get(what)
    if values is not None and len(values) != _CHANNELS:
        raise InputError(f"{path}: {what}={values}: expected three numbers")
    return None if values is None else tuple(values)


def _size(read: dict[str, Any]) -> tuple[int, int] | None:
    size = read.get("crop_size" if read.get("do_center_crop") else "size")
    sides: list[Any]
    if isinstance(size, dict):
        short = size.get("shortest_edge")
        sides = [size.get("height", short), size.get("width", short)]
    else:
        sides = [size, size] if isinstance(size, int) else list(size or [None])
    return None if None in sides else (int(sides[0]), int(sides[1]))
