"""Zip archives of torch: nothing is read that is larger than the file says it can be."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ttr_backbones.errors import InputError


def check_archive(path: Path) -> list[zipfile.ZipInfo]:
    """Check the entries of a zip archive, without reading them.

    torch writes tensors uncompressed, so what they declare fits into the file. Code of TorchScript,
    which is compressed, and what users put beside it are never read.

    Returns:
        The entries that hold data.

    Raises:
        InputError: a name occurs twice or leads out of the archive, an entry is compressed or
            encrypted, or more is declared than the file holds.
        zipfile.BadZipFile: no archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    seen = set()
    for entry in entries:
        parts = entry.filename.replace("\\", "/").split("/")
        if entry.filename in seen or ".." in parts or parts[0] in ("", "~") or ":" in parts[0]:
            raise InputError(
                f"{path} is no archive of torch: the entry {entry.filename!r} "
                f"{'occurs twice' if entry.filename in seen else 'leads out of the archive'}. "
                "Do not use this file; fetch it from its author again."
            )
        seen.add(entry.filename)
    entries = [e for e in entries if not {"code", "extra"} & set(e.filename.split("/")[1:-1])]
    size = path.stat().st_size
    declared = sum(entry.file_size for entry in entries)
    packed = next((e for e in entries if e.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None or declared > size:
        what = "is packed" if packed is None else f"has a compressed entry, {packed.filename!r},"
        raise InputError(
            f"{path} {what} and declares {declared} bytes of data in a file of {size} bytes: "
            "torch writes tensors uncompressed, so this is a zip bomb or was packed anew. Write "
            "it with torch.save again, or fetch it from its author."
        )
    locked = next((entry for entry in entries if entry.flag_bits & 0x1), None)
    if locked is not None:
        raise InputError(f"{path}: the entry {locked.filename!r} is encrypted; save it without.")
    return entries
