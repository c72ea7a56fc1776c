"""Images of more than 8 bits per channel, which are read as 8."""

from __future__ import annotations

import io
import re

import mmcv
import numpy as np
from PIL import Image

from ttr_backbones.errors import InputError

_TIFF = (b"II*\0", b"MM\0*")
_BITS = 0x102  # TIFF's tag BitsPerSample
_PNM = re.compile(rb"P[56]\s(?:#.*\s|\s)*\d+\s+\d+\s+(\d+)\s")


def check_bits(content: bytes, path: str) -> None:
    """Refuse an image of 10 to 14 bits per channel in a 16-bit file: it would be read as dark.

    Raises:
        InputError: no value of a 16-bit file reaches a quarter of the range.
    """
    if not _has_16_bits(content):
        return
    values = mmcv.imfrombytes(content, flag="unchanged", backend="cv2")
    if values is None or values.dtype != np.uint16:
        return
    largest = int(values.max())
    if 0 < largest < 2**14:
        raise InputError(
            f"the image {path} has 16 bits per channel, but no value above {largest}, which is "
            f"{largest // 257} of 255: expected the full range, for it would be read as nearly "
            f"black. If the camera gave {max(largest.bit_length(), 10)} bits, scale the values to "
            "16, or save 8 bits per channel."
        )


def _has_16_bits(content: bytes) -> bool:
    if content.startswith(b"\x89PNG"):
        return content[24:25] == b"\x10"
    if content.startswith(_TIFF):
        with Image.open(io.BytesIO(content)) as image:
            bits = image.tag_v2.get(_BITS, (8,))
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    largest = _PNM.match(content)
    return largest is not None and int(largest.group(1)) > 255
