"""What libjpeg says of a damaged file while OpenCV decodes it.

libjpeg decodes past any damage, and OpenCV lets it print what it met to the C library's `stderr`
instead of returning it. For the time of a decoding, that stream is exchanged for one whose writes
come here, in the thread that decodes; what is no such message goes on to stderr. File descriptor 2,
Python's `sys.stderr` and other processes are left alone, and a good file costs two assignments.

This needs the C library's `fopencookie` (glibc, musl); `AVAILABLE` says whether it is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

_DAMAGE = re.compile(rb"Corrupt JPEG data: (.*)|Premature end of JPEG file")
_EXTRANEOUS = re.compile(rb"(\d+) extraneous bytes before marker 0xd9")
# Cameras pad the end of their files; nothing of the image is lost by it.
_PADDING = 16
_UNBUFFERED = 2  # _IONBF

_WRITE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Functions(ctypes.Structure):
    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _WRITE),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


_decoding = threading.local()
_lock = threading.Lock()
_active = 0  # decodings in all threads


def _write(_cookie: int | None, text: int, length: int) -> int:
    content = ctypes.string_at(text, length)
    met = getattr(_decoding, "met", None)
    if met is not None and _DAMAGE.match(content):
        met.append(content)
    else:
        os.write(2, content)
    return length


def _exchange() -> tuple[Any, Any, Any] | None:
    """Return (the C library's `stderr`, its value, the stream to put there), None without."""
    try:
        library = ctypes.CDLL(None)
        stderr = ctypes.c_void_p.in_dll(library, "stderr")
        library.fopencookie.restype = ctypes.c_void_p
        library.fopencookie.argtypes = (ctypes.c_void_p, ctypes.c_char_p, _Functions)
        library.setvbuf.argtypes = (
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_size_t,
        )
        stream = library.fopencookie(None, b"w", _Functions(None, _callback, None, None))
        if stream and library.setvbuf(stream, None, _UNBUFFERED, 0) == 0:
            return stderr, stderr.value, stream
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    return None


_callback = _WRITE(_write)  # lives as long as the stream
_exchanged = _exchange()
AVAILABLE = _exchanged is not None


@contextlib.contextmanager
def libjpeg_damage() -> Iterator[list[str]]:
    """Collect what libjpeg says in the body of the `with`: the list is filled when it ends."""
    damage: list[str] = []
    if _exchanged is None:
        yield damage
        return
    global _active  # noqa: PLW0603 (one stream per process)
    stderr, before, stream = _exchanged
    _decoding.met = []
    with _lock:
        _active += 1
        stderr.value = stream
    try:
        yield damage
    finally:
        with _lock:
            _active -= 1
            if not _active:
                stderr.value = before
        met, _decoding.met = _decoding.met, None
        damage += [text.decode("latin-1").strip() for text in met if not _is_padding(text)]


def _is_padding(text: bytes) -> bool:
    found = _EXTRANEOUS.search(text)
    return found is not None and int(found.group(1)) <= _PADDING
