"""What a user may call images: a file, a folder, RGB arrays, or a list of files and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.inference.read_ahead import read_ahead
from ttr_backbones.registers.photos import check_names, photo_files

Source = Path | NDArray[np.uint8]
# What PIL raises on the header of a broken file.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def image_sources(images: Any) -> list[Source]:
    """Give `images` as one list of files and arrays [H, W, 3]; the header of every file is read.

    Args:
        images: a path of an image or of a folder (its folders count too), an RGB uint8 array
            [H, W, 3] or [B, H, W, 3], or a sequence of all these.

    Raises:
        MissingFileError: a file or folder does not exist.
        InputError: nothing to look at, something that is no image, or broken files; all of them
            are named.
    """
    several = isinstance(images, Sequence) and not isinstance(images, str)
    sources = [source for item in (images if several else [images]) for source in _listed(item)]
    if not sources:
        raise InputError("there are no images: expected at least one")
    files = [source for source in sources if isinstance(source, Path)]
    check_names(files)
    check_headers(files)
    return sources


def check_headers(files: Iterable[Path]) -> None:
    """Open every file, without decoding it.

    Raises:
        InputError: files that are no images, all of them named.
    """
    raise_bad([bad for bad in read_ahead(_broken, files) if bad is not None])


def raise_bad(bad: Sequence[tuple[Path, str]], remedy: str = "Repair or remove them.") -> None:
    """Raise InputError with every one of the (file, reason) pairs; nothing if there are none."""
    if bad:
        named = "".join(f"\n  {file}: {why}" for file, why in bad)
        noun = "image" if len(bad) == 1 else "images"
        raise InputError(f"{len(bad)} {noun} cannot be read. {remedy}{named}")


def _broken(file: Path) -> tuple[Path, str] | None:
    try:
        with Image.open(file):
            return None
    except _BROKEN as error:
        if not file.stat().st_size:
            return file, "empty file"
        told = "not an image" if str(file) in str(error) else str(error)  # PIL repeats the path
        return file, told


def _listed(item: Any) -> list[Source]:
    if isinstance(item, str | Path):
        path = Path(item).expanduser()
        if path.is_dir():
            return list(photo_files(path))
        if not path.is_file():
            raise MissingFileError(f"{path}: no such file or folder; expected an image")
        return [path]
    if isinstance(item, np.ndarray):
        if item.dtype == np.uint8 and item.shape[-1:] == (3,) and item.size and item.ndim in (3, 4):
            return [item] if item.ndim == 3 else list(item)
        raise InputError(
            f"got an array of {item.dtype} {list(item.shape)}: expected RGB uint8 [H, W, 3] or "
            "[B, H, W, 3]"
        )
    raise InputError(
        f"got {type(item).__name__} as an image: expected a path of an image or a folder, or an "
        "RGB uint8 array [H, W, 3]"
    )
