"""Photographs on disk as tensors: finding, checking and reading them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.file_damage import bad_marker, damage
from ttr_backbones.folder_files import files_below
from ttr_backbones.images.rgb import dark_16_bits, has_16_bits, is_convertible, to_rgb

# HEIC and JPEG XL need a plug-in of Pillow; without it they are named as unusable, not left out.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".webp", ".tif", ".tiff"),
    *(".gif", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".ppm", ".pgm", ".pnm"),
)
_PLUGINS = {".heic": "pillow-heif", ".heif": "pillow-heif", ".jxl": "pillow-jxl-plugin"}
_COLOURS = {"RGB", "RGBA", "RGBX", "P", "PA"}
# What PIL's decoders raise on a broken file.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class UnusablePhotoError(ValueError):
    """A file is no photograph that can be used; the message says why."""


def photo_files(folder: str | Path) -> list[Path]:
    """Return the image files of a folder and of the folders in it, in order of name.

    Links to folders are followed, each folder once.

    Raises:
        MissingFileError: no such folder.
        InputError: it is a file, no image lies in it, or a name is not in UTF-8.
    """
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise InputError(f"{folder} is a file: expected a folder of images")
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such folder; expected one with images")
    files = sorted(file for file in files_below(folder) if file.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no image: expected files in {', '.join(SUFFIXES)}")
    check_names(files)
    return files


def check_names(files: Sequence[Path]) -> None:
    """Refuse names that neither a JSON file nor a list can hold.

    Raises:
        InputError: names that are not in UTF-8, all of them shown as bytes.
    """
    bad = [bytes(file) for file in files if not _is_utf8(str(file))]
    if bad:
        more = f"\n  ... and {len(bad) - 20} more" if len(bad) > 20 else ""
        named = "".join(f"\n  {name!r}" for name in bad[:20])
        raise InputError(
            f"{len(bad)} names of images are not in the encoding UTF-8: rename the files "
            f"(`convmv -f ENCODING -t UTF-8 --notest`){named}{more}"
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # Python keeps such bytes as lone surrogates
        return False
    return True


class Photos:
    """The central squares of image files, each as normalised float [3, side, side].

    All headers are looked at when it is made. Gray, palette, CMYK and 16 bits become RGB of 8
    bits, alpha is dropped, EXIF rotation is applied.

    Args:
        files: the images.
        side: the short side is resampled to so many pixels (bicubic, antialiased).
        mean: mean per RGB channel on the scale 0..1.
        std: standard deviation, likewise.
        smallest: a side of fewer pixels makes an image unusable.
        skip: leave unusable files out and note them in `bad`, instead of an error.

    Raises:
        InputError: unusable files, all of them named, or none that can be used.
    """

    def __init__(
        self,
        files: Sequence[Path],
        side: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        smallest: int = 1,
        skip: bool = False,
    ) -> None:
        self.side, self.skip, self._may_be_empty = side, skip, False
        self._mean, self._std = (255 * torch.tensor(v).view(3, 1, 1) for v in (mean, std))
        self.bad: list[tuple[Path, str]] = []
        self.gray_or_cmyk: list[tuple[Path, str]] = []
        self._files, self._num_files = list(files), len(files)
        for file in files:
            mode = _colour_mode(file, smallest)
            if isinstance(mode, UnusablePhotoError):
                self.bad.append((file, str(mode)))
            elif mode not in _COLOURS:
                self.gray_or_cmyk.append((file, mode))
        if (self.bad and not skip) or not self.files:
            raise InputError(_bad_files_message(self.bad, len(files), skip=skip))

    @property
    def files(self) -> list[Path]:
        """The files that can be used, as far as is known: a body is read on the first pass."""
        bad = {file for file, _ in self.bad}
        return [file for file in self._files if file not in bad]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Tensor]:
        files, threads = self.files, 8
        with ThreadPoolExecutor(threads) as pool:  # PIL decodes without Python's lock
            for start in range(0, len(files), threads):
                group = files[start : start + threads]
                for file, square in zip(group, pool.map(self._read, group), strict=True):
                    if isinstance(square, Tensor):
                        yield (square - self._mean) / self._std
                    else:
                        self._note(file, str(square))

    def part(self, chosen: Sequence[int], *, may_be_empty: bool = False) -> Photos:
        """Some of the files by their index in `files`; what is found bad is noted in both."""
        files = self.files
        other = object.__new__(type(self))
        attributes = {"_files": [files[i] for i in chosen], "_may_be_empty": may_be_empty}
        other.__dict__ = {**self.__dict__, **attributes}
        return other

    def _read(self, file: Path) -> Tensor | UnusablePhotoError:
        try:
            return read_square(file, self.side)
        except UnusablePhotoError as error:
            return error

    def _note(self, file: Path, why: str) -> None:
        self.bad.append((file, why))
        if not self.skip or not (self.files or self._may_be_empty):
            count = len(self._files) if self.skip else self._num_files
            raise InputError(_bad_files_message(self.bad, count, skip=self.skip))


def read_square(file: Path, side: int) -> Tensor:
    """Read the central square of an image, RGB, uint8 [3, side, side].

    Raises:
        UnusablePhotoError: it cannot be decoded.
    """
    square = ImageOps.fit(read_rgb(file), (side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def read_rgb(file: Path) -> Image.Image:
    """Read an image as RGB, upright.

    Raises:
        UnusablePhotoError: it cannot be decoded, is damaged, also where PIL would go on, or was
            saved with so few of its 16 bits that it would be nearly black.
    """
    try:
        content = file.read_bytes()
        reason = damage(content) or bad_marker(content)
        if reason is not None:
            raise UnusablePhotoError(f"cannot be decoded: {reason}")
        with Image.open(io.BytesIO(content)) as image:
            if not is_convertible(image):
                raise UnusablePhotoError(_wrong_mode(image))
            rgb = to_rgb(image)
        reason = dark_16_bits(rgb) if has_16_bits(content) else None
    except UnusablePhotoError:
        raise
    except _BROKEN as error:
        raise UnusablePhotoError(_reason(file, error)) from error
    if reason is not None:
        raise UnusablePhotoError(reason)
    return rgb


def _colour_mode(file: Path, smallest: int) -> str | UnusablePhotoError:
    """Colour mode of an image, or what is wrong with it, without decoding it."""
    try:
        with Image.open(file) as image:
            mode, (width, height) = image.mode, image.size
            wrong = None if is_convertible(image) else _wrong_mode(image)
    except _BROKEN as error:
        return UnusablePhotoError(_reason(file, error))
    if min(width, height) < smallest:
        return UnusablePhotoError(f"{width} x {height} pixels, smaller than one patch")
    return mode if wrong is None else UnusablePhotoError(wrong)


def _wrong_mode(image: Image.Image) -> str:
    return f"colour mode {image.mode}, expected 8 or 16 bits per channel"


def _reason(file: Path, error: Exception) -> str:
    if file.is_file() and not file.stat().st_size:
        return "empty file"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if file.suffix.lower() in _PLUGINS and isinstance(error, UnidentifiedImageError):
        return f"Pillow reads it with {_PLUGINS[file.suffix.lower()]} only: convert it to JPEG"
    if isinstance(error, UnidentifiedImageError):
        return "not an image"  # PIL's own message repeats the path
    return f"cannot be decoded: {error}"


def _bad_files_message(bad: Sequence[tuple[Path, str]], count: int, *, skip: bool) -> str:
    named = "".join(f"\n  {file}: {why}" for file, why in bad[:20])
    more = f"\n  ... and {len(bad) - 20} more" if len(bad) > 20 else ""
    remedy = (
        "none is left: give other images"
        if skip or len(bad) == count
        else 'repair or remove them, or go on without them: --skip-bad (in Python on_bad="skip")'
    )
    return f"{len(bad)} of {count} images cannot be used; {remedy}{named}{more}"
