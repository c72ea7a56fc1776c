"""What a user may call images: files, folders, PIL images, RGB arrays, or lists of these."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.images.photos import check_names, photo_files
from ttr_backbones.images.rgb import dark_16_bits, is_convertible, is_grey_16, to_rgb
from ttr_backbones.inference.read_ahead import read_ahead

Source = Path | NDArray[np.uint8]
# What PIL raises on the header of a broken file.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def image_sources(images: Any, bad: list[tuple[Path, str]] | None = None) -> list[Source]:
    """Give `images` as one list of files and arrays [H, W, 3]; the header of every file is read.

    Args:
        images: a path of an image or of a folder (its folders count too), a PIL image (turned as
            its EXIF says, gray, palette and 16 bits made RGB, alpha dropped, as of a file), an RGB
            uint8 array [H, W, 3] or [B, H, W, 3], or a sequence or iterator of all these.
        bad: gets (file, reason) of files that are no images, and the others are returned.

    Raises:
        MissingFileError: a file or folder does not exist.
        InputError: nothing to look at, something that is no image, or, without `bad`, broken
            files; all of them are named.
    """
    several = isinstance(images, Sequence | Iterator) and not isinstance(images, str)
    sources = [source for item in (images if several else [images]) for source in _listed(item)]
    if not sources:
        raise InputError("there are no images: expected at least one")
    files = [source for source in sources if isinstance(source, Path)]
    check_names(files)
    broken = [found for found in read_ahead(_broken, files) if found is not None]
    if bad is None:
        raise_bad(broken)
        return sources
    bad += broken
    left_out = {file for file, _ in broken}
    return [s for s in sources if not (isinstance(s, Path) and s in left_out)]


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
        reason = "not an image" if str(file) in str(error) else str(error)  # PIL repeats the path
        return file, reason


def _listed(item: Any) -> list[Source]:
    if isinstance(item, str | os.PathLike):
        path = Path(item).expanduser()
        if path.is_dir():
            return list(photo_files(path))
        if not path.is_file():
            raise MissingFileError(f"{path}: no such file or folder; expected an image")
        return [path]
    if isinstance(item, Image.Image):
        if not is_convertible(item):
            raise InputError(
                f"got a PIL image of mode {item.mode}: expected 8 or 16 bits per channel, as in "
                "RGB; convert it, so that its values come to lie in 0..255."
            )
        rgb = to_rgb(item)
        if is_grey_16(item) and (reason := dark_16_bits(rgb)) is not None:
            raise InputError(f"got a PIL image of mode {item.mode}: {reason}")
        return [np.array(rgb)]
    if isinstance(item, np.ndarray):
        if item.dtype == np.uint8 and item.shape[-1:] == (3,) and item.size and item.ndim in (3, 4):
            return [item] if item.ndim == 3 else list(item)
        raise InputError(
            f"got an array of {item.dtype} {list(item.shape)}: expected RGB uint8 [H, W, 3] or "
            "[B, H, W, 3]"
        )
    raise InputError(
        f"got {type(item).__name__} as an image: expected a path of an image or a folder, a PIL "
        "image, or an RGB uint8 array [H, W, 3]"
    )
