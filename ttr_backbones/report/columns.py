"""The columns of a report: a model as it is, and with a repair. Their keys, words and colours.

A key is "none", "trained" (with its trained registers), the type of a repair, or "trained+TYPE".
"""

from __future__ import annotations

from ttr_backbones.repairs import Repair, repair_named

NONE, TRAINED = "none", "trained"
_JOINT = f"{TRAINED}+"
# Okabe and Ito's colours, which colour-blind readers tell apart too.
_COLOURS = {NONE: "#d55e00", TRAINED: "#009e73"}
_BESIDE_TRAINED = "#cc79a7"


def column_key(repair: str | None, *, trained: bool) -> str:
    """Return the key of a model.

    Args:
        repair: type of its repair.
        trained: whether it was trained with registers.
    """
    if repair is None:
        return TRAINED if trained else NONE
    return _JOINT + repair if trained else repair


def column_repair(column: str) -> Repair | None:
    """Return the repair of a key, or None.

    Raises:
        InputError: no repair of this type is known.
    """
    return None if column in (NONE, TRAINED) else repair_named(column.removeprefix(_JOINT))


def column_title(column: str, between: str = " ") -> str:
    """Name a key in two parts that `between` keeps apart."""
    repair = column_repair(column)
    if repair is None:
        return between.join(("without" if column == NONE else "trained", "registers"))
    if column.startswith(_JOINT):
        return between.join(("trained +", repair.label))
    first, _, last = repair.label.partition(" ")
    return between.join(filter(None, (first, last)))


def column_caption(column: str, num: int) -> str:
    """Say in a few words what a model has.

    Args:
        column: its key.
        num: registers of its repair, 0 if that has none.
    """
    repair = column_repair(column)
    if repair is None:
        return "without registers" if column == NONE else "with its trained registers"
    beside = " beside the trained ones" if column.startswith(_JOINT) else ""
    return f"with {repair.caption(num)}{beside}"


def column_colour(column: str) -> str:
    """Return the colour of a key."""
    repair = column_repair(column)
    if repair is None:
        return _COLOURS[column]
    return _BESIDE_TRAINED if column.startswith(_JOINT) else repair.colour
