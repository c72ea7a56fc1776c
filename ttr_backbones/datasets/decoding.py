"""From a file to pixels, with errors that name the file and the remedy."""

from __future__ import annotations

from typing import Any

import cv2
import mmcv
import numpy as np
from mmengine import fileio
from PIL import Image

from ttr_backbones.datasets.libjpeg_warnings import AVAILABLE, libjpeg_damage
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.file_damage import bad_marker, damage

# What Pillow, OpenCV and zlib raise on a broken file.
_BROKEN = (OSError, ValueError, SyntaxError, cv2.error, Image.DecompressionBombError)


def read_file(path: str, what: str, backend_args: dict[str, Any] | None) -> bytes:
    """Return the content of the file at `path`, a `what` ("image", "mask", ...) of a data set."""
    try:
        content: bytes = fileio.get(path, backend_args=backend_args)
    except FileNotFoundError:
        raise MissingFileError(
            f"the {what} {path} does not exist, though the data set lists it. Check data_root, "
            "data_prefix and the file suffixes of the data set, or complete the download."
        ) from None
    except OSError as error:  # of a worker, it would reach the user without its number and name
        raise InputError(
            f"the {what} {path} cannot be read: {error.strerror}. Check its permissions and its "
            "disk."
        ) from error
    if not content:
        raise InputError(f"the {what} {path} is empty (0 bytes). Copy or download it again.")
    return content


def decode(content: bytes, path: str, what: str, flag: str, backend: str) -> np.ndarray:
    """Decode `content` to [H, W] or [H, W, C]; `flag` and `backend` are `mmcv.imfrombytes`'s.

    Raises:
        InputError: it cannot be decoded, or is damaged, also where the decoder would go on.
    """
    reason = damage(content)
    if reason is None and (backend != "cv2" or not AVAILABLE):
        reason = bad_marker(content)
    if reason is not None:
        raise InputError(_undecodable(content, path, what, reason))
    try:
        with libjpeg_damage() as met:
            decoded = mmcv.imfrombytes(content, flag=flag, backend=backend)
    except _BROKEN as error:
        raise InputError(_undecodable(content, path, what, str(error))) from error
    if met:
        raise InputError(_undecodable(content, path, what, met[0]))
    if decoded is None:
        raise InputError(_undecodable(content, path, what, "unknown format"))
    return np.asarray(decoded)


def _undecodable(content: bytes, path: str, what: str, reason: str) -> str:
    return (
        f"the {what} {path} ({len(content)} bytes, beginning with {content[:4]!r}) cannot be "
        f"decoded: {reason}. Expected a complete {'JPEG or PNG' if what == 'image' else 'PNG'} "
        "file; copy or download it again."
    )


def pixels(shape: tuple[int, ...]) -> str:
    """Return the size of an image [H, W] or [H, W, C] as a user writes it, width x height."""
    return f"{shape[1]}x{shape[0]}"
