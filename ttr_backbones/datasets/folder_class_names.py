"""Class names from the folders of a data set of images."""

from __future__ import annotations

from pathlib import Path

from ttr_backbones.datasets.class_folders import class_names
from ttr_backbones.datasets.typographic import attacks, union


def folder_class_names(folder: Path) -> list[str]:
    """Return the classes in the order that the data sets of such folders number them in.

    Args:
        folder: of class folders, whose names are words (`_` for a blank), or of images called
            label=OBJECT_text=WORD.png.

    Raises:
        InputError: it is neither.
    """
    if any(path.is_dir() for path in folder.iterdir()):
        return [name.replace("_", " ") for name in class_names(folder)]
    return list(union(attacks(folder)))
