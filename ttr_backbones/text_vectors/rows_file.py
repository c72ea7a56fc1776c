"""Reading which rows of a classifier stand for which class."""

from __future__ import annotations

import re
from pathlib import Path

from ttr_backbones.datasets.text_file import read_text
from ttr_backbones.errors import InputError, MissingFileError

_EXPECTED = "expected lines 'CLASS: ROWS', as in 'cat: 281-285' or 'bird: 7-24, 80-100, 127-146'"
# No classifier has so many rows: a slip of the keyboard should not fill the memory with numbers.
_TOO_MANY = 10_000_000


def read_rows(path: str | Path) -> dict[str, list[int]]:
    """Return the rows of each class, in the order of the lines.

    A line is the name of a class, a colon, and rows separated by commas, each a number from 0 or
    two numbers with a dash between them, both included.

    Raises:
        MissingFileError: no such file.
        InputError: an empty file, a line of another form, or a class twice.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingFileError(f"no file of classes at {path}: {_EXPECTED}")
    found: dict[str, list[int]] = {}
    for number, line in enumerate(read_text(file).rstrip().splitlines(), 1):
        name, colon, rows = (part.strip() for part in line.rpartition(":"))
        if not colon or not name or name in found:
            why = f"names {name!r} again" if name in found else f"is {line!r}"
            raise InputError(f"{path}, line {number} {why}: {_EXPECTED}")
        found[name] = [row for part in rows.split(",") for row in _range(part, path, number)]
    if not found:
        raise InputError(f"{path} is empty: {_EXPECTED}")
    return found


def imagenet_rows() -> dict[str, list[int]]:
    """Every row of a classifier of ImageNet's 1,000 classes, by WordNet number."""
    from timm.data import ImageNetInfo

    names: list[str] = ImageNetInfo("imagenet-1k").label_names()
    return {name: [row] for row, name in enumerate(names)}


def _range(text: str, path: str | Path, number: int) -> range:
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last < _TOO_MANY:
        raise InputError(f"{path}, line {number} has the rows {text.strip()!r}: {_EXPECTED}")
    return range(first, last + 1)
