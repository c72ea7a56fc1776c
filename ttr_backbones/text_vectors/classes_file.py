"""Reading a file of classes: one class a line, its names separated by ", "."""

from __future__ import annotations

from pathlib import Path

from ttr_backbones.datasets.text_file import read_text
from ttr_backbones.errors import InputError, MissingFileError

SEPARATOR = ", "


def read_classes(path: str | Path) -> tuple[tuple[str, ...], ...]:
    """Return the names of each class, in the order of the lines.

    The format is that of the `cls_*.txt` of SCLIP and NACLIP: line n holds the names of the class
    with the label n - 1. The same name may stand on several lines.

    Raises:
        MissingFileError: no such file.
        InputError: an empty file, an empty line between others, an empty name, a name twice on a
            line.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingFileError(
            f"no file of classes at {path}: expected one class per line, its names separated by "
            f"{SEPARATOR!r}"
        )
    lines = read_text(file).rstrip().splitlines()
    if not lines:
        raise InputError(f"{path} is empty: expected one class per line")
    return tuple(_names(line, f"{path}, line {number}") for number, line in enumerate(lines, 1))


def _names(line: str, where: str) -> tuple[str, ...]:
    # The released files have a comma without a space behind it here and there.
    names = tuple(name.strip() for name in line.split(","))
    if not line.strip():
        raise InputError(f"{where} is empty: a line is a class, so remove it or name the class")
    if not all(names):
        raise InputError(f"{where} has an empty name between two commas: {line!r}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{where} names {', '.join(repeated)} twice: a name counts once")
    return names
