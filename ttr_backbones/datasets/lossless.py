"""Which files give back the very numbers that were saved in them."""

from __future__ import annotations

import io

from PIL import Image

from ttr_backbones.errors import InputError


def check_lossless(content: bytes, path: str, what: str) -> None:
    """Refuse a format that does not give back the numbers that were saved.

    Raises:
        InputError: JPEG, lossy WebP, AVIF, HEIC or JPEG 2000.
    """
    name = _lossy_format(content)
    if name is not None:
        raise InputError(
            f"the {what} {path} is a {name} file, which changes the numbers that are saved in it: "
            "expected a lossless format. Export it anew as PNG, from before it was compressed."
        )


def _lossy_format(content: bytes) -> str | None:
    name = None
    if content.startswith(b"\xff\xd8"):
        name = "JPEG"
    elif content[8:12] == b"WEBP" and b"VP8 " in content[12:4096]:
        name = "lossy WebP"
    elif content[4:8] == b"ftyp":
        name = content[8:12].decode("latin-1").upper()  # AVIF, HEIC, ...
    elif content.startswith((b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")):
        name = "JPEG 2000"
    elif content.startswith((b"II*\0", b"MM\0*")):
        with Image.open(io.BytesIO(content)) as image:
            name = "JPEG-compressed TIFF" if image.info.get("compression") == "jpeg" else None
    return name
