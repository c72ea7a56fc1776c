"""Names for what is saved of images, so that no two images share one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath


def relative_paths(files: Sequence[str | Path]) -> dict[str, PurePath]:
    """Return the path of each file below the folder that holds all of them.

    Keys are the files as they are given. Dots in a path (`x/../y`) are resolved by name.
    """
    absolute = {str(file): Path(os.path.normpath(Path(file).absolute())) for file in files}
    if not absolute:
        return {}
    root = os.path.commonpath([path.parent for path in absolute.values()])
    return {file: path.relative_to(root) for file, path in absolute.items()}


def result_paths(files: Sequence[str | Path]) -> dict[str, PurePath]:
    """Return a path without suffix for the result of each file, in folders as the files are.

    Where some differ in nothing but their suffix (`a.jpg` and `a.png`), all keep it; what still
    differs in nothing but capital letters, which some disks do not tell apart, gets a number.
    """
    relative = relative_paths(files)
    stems = {_folded(path.with_suffix("")) for path in relative.values()}
    keep = len(stems) < len(relative)
    return _numbered(
        {file: path if keep else path.with_suffix("") for file, path in relative.items()}
    )


def result_stems(files: Sequence[str | Path]) -> dict[str, str]:
    """Return a file name without suffix for the result of each file, all in one folder.

    It is the stem of the file; where several files have the same, the names of the folders that
    tell them apart stand in front.
    """
    paths = result_paths(files)
    times = Counter(Path(file).stem.lower() for file in paths)
    stems = {
        file: PurePath(
            Path(file).stem if times[Path(file).stem.lower()] == 1 else "_".join(path.parts)
        )
        for file, path in paths.items()
    }
    return {file: path.name for file, path in _numbered(stems).items()}


def _folded(path: PurePath) -> str:
    return path.as_posix().lower()


def _numbered(paths: Mapping[str, PurePath]) -> dict[str, PurePath]:
    """Add a number to paths that another has, or has but for its capital letters."""
    taken: set[str] = set()
    apart: dict[str, PurePath] = {}
    for file, path in paths.items():
        name, number = path, 1
        while _folded(name) in taken:
            number += 1
            name = path.with_name(f"{path.name}_{number}")
        taken.add(_folded(name))
        apart[file] = name
    return apart
