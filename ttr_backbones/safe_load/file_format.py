"""Which format a weight file has, by its bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

FileFormat = Literal[
    "safetensors", "torch", "torchscript", "pickle", "tar", "npz", "zip", "gzip", "hdf5", "unknown"
]
_MARKS: dict[tuple[int, bytes], FileFormat] = {
    **{(0, bytes([0x80, protocol])): "pickle" for protocol in range(2, 6)},
    (257, b"ustar"): "tar",
    (0, b"\x1f\x8b"): "gzip",
    (0, b"\x89HDF\r\n"): "hdf5",
}


def file_format(path: Path) -> FileFormat:
    """Return the format of the file at `path`; "unknown" where no reader knows its first bytes."""
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    # The header's length, at most 100 MB, then the header, which is JSON. Before the pickles: a
    # length of 640 bytes starts like one.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= 100_000_000:
        return "safetensors"
    found = (kind for (at, mark), kind in _MARKS.items() if start[at:].startswith(mark))
    return next(found, "unknown")


def _kind_of_zip(path: Path) -> FileFormat:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "torch"  # cut short or damaged, which its reader words
    last_parts = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last_parts:  # the mark by which torch.load tells the two apart
        return "torchscript"
    if "data.pkl" in last_parts:
        return "torch"
    return "npz" if any(name.endswith(".npy") for name in names) else "zip"
