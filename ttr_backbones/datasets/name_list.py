"""Lists of image names, one per line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ttr_backbones.datasets.text_file import read_text
from ttr_backbones.errors import InputError, MissingFileError


def read_names(path: str | Path, *, remedy: str) -> list[str]:
    """Return the lines of a list file, without blank ones.

    Args:
        path: the file.
        remedy: what to do if it does not exist.

    Raises:
        MissingFileError: no such file.
        InputError: it is empty, in no known encoding, or names an image twice.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingFileError(
            f"the list {path} does not exist or is no file: expected one image name per line. "
            f"{remedy}"
        )
    names = [line.strip() for line in read_text(file).splitlines()]
    names = [name for name in names if name]
    if not names:
        raise InputError(f"the list {path} is empty: expected one image name per line.")
    if len(set(names)) < len(names):
        raise InputError(
            f"the list {path} names {Counter(names).most_common(1)[0][0]} more than once, and each "
            "image is scored once. Remove the repetition."
        )
    return names
