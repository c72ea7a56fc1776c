"""An image of any colour mode as upright RGB of 8 bits per channel."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image, ImageOps

# What PIL turns into RGB without loss of meaning; it would clip more than 8 bits to white.
_MODES = {"RGB", "RGBA", "RGBX", "L", "LA", "La", "P", "PA", "1", "CMYK", "YCbCr", "LAB", "HSV"}
_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
_DARK = 64  # a quarter of the range: what 14 bits reach in a 16-bit file
_TIFF = (b"II*\0", b"MM\0*")
_BITS = 0x102  # TIFF's tag BitsPerSample
_PNM = re.compile(rb"P[56]\s(?:#.*\s|\s)*\d+\s+\d+\s+(\d+)\s")


def is_convertible(image: Image.Image) -> bool:
    """Whether `to_rgb` takes an image; its pixels are not decoded."""
    return image.mode in _MODES or is_grey_16(image)


def is_grey_16(image: Image.Image) -> bool:
    """Whether an image is grey of 16 bits, which PIL itself would clip at 255."""
    # PIL holds grey PGM, and older versions of it grey PNG, of 16 bits in numbers of 32.
    return image.mode in _GREY_16 or (image.mode == "I" and image.format in ("PNG", "PPM"))


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image as RGB, upright: alpha is dropped, of 16 bits the upper 8 are kept.

    This is what OpenCV makes of a file for a config's test pipeline.
    """
    if is_grey_16(image):
        upper = np.asarray(image).astype(np.uint16) >> 8
        grey = Image.fromarray(upper.astype(np.uint8))
        grey.info = image.info  # the orientation is there
        rgb = grey.convert("RGB")
    else:
        # PIL asks for the detour: a palette may give its transparency in bytes.
        rgb = image.convert("RGBA" if image.mode in ("P", "PA") else "RGB").convert("RGB")
    return ImageOps.exif_transpose(rgb)


def dark_16_bits(rgb: Image.Image) -> str | None:
    """Return why an image of `to_rgb` that had 16 bits is nearly black, None where it is not."""
    largest = int(np.asarray(rgb).max())
    if largest >= _DARK:
        return None
    return f"16 bits per channel, but no value above {largest} of 255: scale it to all 16"


def has_16_bits(content: bytes) -> bool:
    """Whether the file of an image has more than 8 bits per channel: PNG, TIFF or PNM."""
    if content.startswith(b"\x89PNG"):
        return content[24:25] == b"\x10"
    if content.startswith(_TIFF):
        with Image.open(io.BytesIO(content)) as image:
            bits = image.tag_v2.get(_BITS, (8,))
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    largest = _PNM.match(content)
    return largest is not None and int(largest.group(1)) > 255
