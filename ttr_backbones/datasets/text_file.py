"""Text files in the encodings that editors write, with errors that name file, line and remedy."""

from __future__ import annotations

import codecs
from pathlib import Path

from ttr_backbones.errors import InputError

# Longer marks first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path) -> str:
    """Return the text of a file, see `decode_text`.

    Raises:
        InputError: it cannot be opened, or is in no encoding that can be known.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. Check its permissions and its disk."
        ) from error
    return decode_text(content, path)


def decode_text(content: bytes, path: str | Path) -> str:
    """Decode UTF-8 and, by its byte-order mark or its zero bytes, UTF-16 and UTF-32.

    Raises:
        InputError: anything else; which of the many 8-bit encodings it is cannot be known.
    """
    encoding = marked_encoding(content) or "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        line = content.splitlines()[number - 1] if encoding == "utf-8" else b""
        raise InputError(
            f"{path}, line {number}: the text is not in the encoding {encoding.upper()} "
            f"({error.reason} at byte {error.start}){_readings(line)}. Save the file as UTF-8: "
            "`iconv -f ENCODING -t UTF-8`, or 'Save as' of an editor."
        ) from None


def marked_encoding(content: bytes) -> str | None:
    """Return the encoding that a byte-order mark or zero bytes of ASCII tell, or None."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    even, odd = content[0:400:2].count(0), content[1:400:2].count(0)
    if min(even, odd) == 0 and max(even, odd) > len(content[:400]) // 8:
        return "utf-16-le" if odd else "utf-16-be"
    return None


def _readings(line: bytes) -> str:
    """Return what a line of 8-bit text would be in the usual encodings."""
    readings = []
    for encoding in ("gb18030", "shift_jis", "cp1252"):
        try:
            readings.append(f"{line[:80].decode(encoding).strip()!r} in {encoding.upper()}")
        except UnicodeDecodeError:  # noqa: PERF203 (three tries)
            continue
    return f"; it would read {', '.join(readings)}" if readings else ""
