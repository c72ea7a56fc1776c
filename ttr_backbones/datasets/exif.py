"""The orientation that a camera noted in an image file, from its bytes."""

from __future__ import annotations

import io
import struct

from PIL import Image

_ORIENTATION = 0x112
_HEAD = 4096  # JPEG: Exif comes first, behind JFIF at most
UPRIGHT = 1
SIDES_SWAPPED = (5, 6, 7, 8)


def orientation(content: bytes) -> int:
    """Return the EXIF orientation, 1 to 8, of a JPEG, PNG, WebP or TIFF; 1 where there is none."""
    if content.startswith(b"\xff\xd8"):
        at = content.find(b"Exif\0\0", 0, _HEAD)
        return _of_directory(content, at + 6) if at >= 0 else UPRIGHT
    if content.startswith(b"\x89PNG"):
        at = content.find(b"eXIf")
        return _of_directory(content, at + 4) if at >= 0 else UPRIGHT
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _of_directory(content, 0)
    if content[8:12] == b"WEBP" and b"EXIF" in content:
        return _by_pillow(content)
    return UPRIGHT


def _of_directory(content: bytes, base: int) -> int:
    """Read the tag from the first directory of the TIFF structure that begins at `base`."""
    order = {b"II": "<", b"MM": ">"}.get(content[base : base + 2])
    if order is None:
        return UPRIGHT
    try:
        at = base + struct.unpack_from(f"{order}I", content, base + 4)[0]
        for number in range(struct.unpack_from(f"{order}H", content, at)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", content, at + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:  # a directory that leaves the file is no orientation
        pass
    return UPRIGHT


def _by_pillow(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as image:
        value = image.getexif().get(_ORIENTATION, UPRIGHT)
    return value if value in range(1, 9) else UPRIGHT
