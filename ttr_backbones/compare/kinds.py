"""What one line of a table is of: a backbone as it is, trained with registers, or repaired.

A kind is "none", "trained", the type of a repair, the name of a file in `configs/repairs`, or the
path of an artifact or of a list of register neurons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.recipes import axis_files, repair_config
from ttr_backbones.repairs import REPAIRS, repair_named
from ttr_backbones.repairs.choice import repair_of_words

NONE, TRAINED = "none", "trained"
# Colours that colour-blind people tell apart from those of the repairs; grey is the state before.
_COLOURS = {NONE: "#999999", TRAINED: "#332288"}
_LABELS = {NONE: NONE, TRAINED: "trained registers"}


def is_path(kind: str) -> bool:
    """Whether a kind is the path of an artifact or of a list."""
    named = (NONE, TRAINED, *REPAIRS, *axis_files("repairs"))
    suffixes = {".safetensors", *(repair.suffix for repair in REPAIRS.values())}
    return kind not in named and Path(kind).suffix in suffixes


def kind_folder(kind: str) -> str:
    """Name a kind as a folder."""
    return Path(kind).name if is_path(kind) else kind


def kind_config(kind: str, current: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a config's `repair` of a kind that is neither "none" nor "trained".

    Args:
        kind: the type of a repair, of which what ships is taken; a file's name; a path.
        current: what the config has; a list of neurons keeps its options.

    Raises:
        MissingFileError: no such file.
        InputError: it cannot be read.
    """
    if is_path(kind):
        return dict(repair_of_words(kind, current) or {})
    return dict(repair_named(kind).auto() if kind in REPAIRS else repair_config(kind))


def repair_file(kind: str) -> str | None:
    """Return the file in `configs/repairs` of a kind: of that name, else the first of that type."""
    files = axis_files("repairs")
    if is_path(kind):
        kind = kind_config(kind)["type"]
    if kind in files:
        return kind
    return next((name for name in files if repair_config(name)["type"] == kind), None)


def check_kind(kind: str, more: Iterable[str] = ()) -> None:
    """Check that there is such a kind.

    Args:
        kind: as a user names it.
        more: kinds that an experiment has besides.

    Raises:
        InputError: there is none.
    """
    known = dict.fromkeys((NONE, TRAINED, *REPAIRS, *axis_files("repairs"), *more))
    if is_path(kind):
        kind_config(kind)
    elif kind not in known:
        raise InputError(f"--repairs: {unknown_name('choice', kind, known)}")


def kind_label(kind: str) -> str:
    """Name a kind in a table."""
    if is_path(kind):
        return f"{_of(kind, 'label')}, {Path(kind).stem}"
    return _LABELS.get(kind) or _of(kind, "label")


def kind_colour(kind: str) -> str:
    """Return the colour of a kind's bars."""
    return _COLOURS.get(kind) or _of(kind, "colour")


def _of(kind: str, attribute: str) -> str:
    found: Any = repair_named(kind if kind in REPAIRS else kind_config(kind)["type"])
    return str(getattr(found, attribute))
