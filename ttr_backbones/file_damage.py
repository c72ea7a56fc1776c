"""Damage of an image file that decoders pass over in silence, found in its bytes.

A JPEG whose end was never written decodes to something, Pillow reads past garbage, and older OpenCV
fills the missing rows of a PNG. All of this looks at the bytes only: a few thousandths of what the
decoding costs.
"""

from __future__ import annotations

import re
import struct
import zlib

# Within the coded data of a JPEG, only these follow an 0xFF: stuffing, restarts, fill bytes.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SCAN, _END, _TABLES = 0xDA, 0xD9, 0xC4
_BASELINE = (0xC0, 0xC1)
_ZEROS = bytes(64)  # what no encoder writes in a row, save for a flat image by an optimal code


def damage(content: bytes) -> str | None:
    """Return what is wrong with the bytes of an image file, None where nothing is seen."""
    if content.startswith(b"\xff\xd8"):
        return _jpeg_damage(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_damage(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and content.endswith(_ZEROS):
        return "its end is zeros"
    return None


def bad_marker(content: bytes) -> str | None:
    """Return where the coded data of a JPEG holds what no encoder writes there.

    It takes 2 % of the decoding, and is for decoders that do not tell what they met.
    """
    if not content.startswith(b"\xff\xd8"):
        return None
    start = _segments(content).get(_SCAN)
    while start is not None:
        found = _MARKER.search(content, start)
        if found is None:
            return "it ends within the coded image"
        code = content[found.start() + 1]
        if code == _END:
            return None
        if not (code in {_SCAN, _TABLES, 0xDD, 0xDC, 0xDB, 0xFE} or 0xE0 <= code <= 0xEF):
            return f"byte {found.start()} is within the coded image and holds none"
        start = (
            found.start()
            + 2
            + int.from_bytes(content[found.start() + 2 : found.start() + 4], "big")
        )
    return None


def _jpeg_damage(content: bytes) -> str | None:
    segments = _segments(content)
    scan = segments.get(_SCAN)
    if scan is None:
        return "it ends before the coded image"
    if content.rfind(b"\xff\xd9") < scan:
        tail = len(content) - len(content.rstrip(b"\0"))
        return "it ends before the end of the image" + (f", in {tail} zeros" if tail > 1 else "")
    zeros = content.find(_ZEROS, scan)
    if zeros < 0 or not segments.keys() & set(_BASELINE):
        return None
    if zeros < content.find(b"\xff\xd9", scan) and not _zeros_are_flat(content):
        return f"its coded image is zeros from byte {zeros} on"
    return None


def _segments(content: bytes) -> dict[int, int]:
    """Return where each kind of segment before the coded data ends, by its marker's code."""
    ends: dict[int, int] = {}
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        code = content[at + 1]
        if code == 0xFF:
            at += 1
            continue
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        ends[code] = at
        if code == _SCAN:
            break
    return ends


def _zeros_are_flat(content: bytes) -> bool:
    """Return whether zero bits may be blocks of one colour by every code of the file.

    Then the first symbol of each AC table, whose code is all zeros, is 0, the end of a block.
    """
    at, flat = 2, True
    while at + 4 <= len(content) and content[at] == 0xFF:
        code = content[at + 1]
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        table, stop = at + 4, at + 2 + length
        while code == _TABLES and table + 17 < stop:
            if content[table] >> 4:  # an AC table
                flat = flat and content[table + 17] == 0
            table += 17 + sum(content[table + 1 : table + 17])
        if code == _SCAN:
            break
        at = stop
    return flat


def _png_damage(content: bytes) -> str | None:
    at, view = 8, memoryview(content)
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if at + 12 + length > len(content):
            break
        if kind == b"IEND":
            return None
        body = view[at + 4 : at + 8 + length]
        # Whatever is wrong with other chunks (small letter first) changes no pixel.
        if kind[:1].isupper() and zlib.crc32(body) != int.from_bytes(
            content[at + 8 + length : at + 12 + length], "big"
        ):
            return f"the checksum of its part {kind.decode('latin-1')!r} at byte {at} is wrong"
        at += 12 + length
    return "it ends before its last part, IEND"
