"""What one line of a table is of: a backbone as it is, trained with registers, or repaired.

A kind is "none", "trained", the type of a repair, or the name of a file in `configs/repairs`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.recipes import axis_files, repair_config
from ttr_backbones.repairs import REPAIRS, repair_named

NONE, TRAINED = "none", "trained"
# Of Okabe and Ito's colours, which colour-blind people tell apart; grey is the state before.
_COLOURS = {NONE: "#999999", TRAINED: "#e69f00"}
_LABELS = {NONE: NONE, TRAINED: "trained registers"}


def repair_file(kind: str) -> str | None:
    """Return the file in `configs/repairs` of a kind: of that name, else the first of that type."""
    files = axis_files("repairs")
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
    if kind not in known:
        raise InputError(f"--repairs: {unknown_name('choice', kind, known)}")


def kind_label(kind: str) -> str:
    """Name a kind in a table."""
    return _LABELS.get(kind) or _of(kind, "label")


def kind_colour(kind: str) -> str:
    """Return the colour of a kind's bars."""
    return _COLOURS.get(kind) or _of(kind, "colour")


def _of(kind: str, attribute: str) -> str:
    found: Any = repair_named(kind if kind in REPAIRS else repair_config(kind)["type"])
    return str(getattr(found, attribute))
