"""The files below a folder, also behind symbolic links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: str | Path) -> Iterator[Path]:
    """Yield the files of a folder and of the folders in it, in order of name.

    Links to folders are followed; a folder that is met again, as in a loop, is left out the second
    time, so that no file is there twice by two ways to its folder.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        at = Path(place).stat()
        if (at.st_dev, at.st_ino) in seen:
            folders.clear()
            continue
        seen.add((at.st_dev, at.st_ino))
        folders.sort()
        yield from (path for name in sorted(files) if (path := Path(place, name)).is_file())
