"""Files that are either complete or absent."""

from __future__ import annotations

import os
from pathlib import Path

_SUFFIX = ".partial"


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write beside `path`, then rename: a killed process leaves the old file or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # else a rename may reach the disk before the content does
    partial.replace(path)


def remove_partial_files(folder: str | Path) -> list[Path]:
    """Delete what killed processes left half-written in `folder`, and return it."""
    left = sorted(Path(folder).glob(f".*{_SUFFIX}"))
    for path in left:
        path.unlink(missing_ok=True)
    return left
