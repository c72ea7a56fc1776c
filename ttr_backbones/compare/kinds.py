"""Kinds of lines of a table: a backbone as it is, trained with registers, or repaired.

A kind is "none", "trained", the type of a repair, the name of a file in `configs/repairs`, or the
path of an artifact or of a list of register neurons; and, with ":CONTROL" behind it, a control of
such a repair (`repairs.controls`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.recipes import axis_files, repair_config
from ttr_backbones.repairs import REPAIRS, load_repair, repair_named
from ttr_backbones.repairs.controls import control_words, split_control, with_control
from ttr_backbones.repairs.from_config import parse_repair

NONE, TRAINED = "none", "trained"
# Colours that colour-blind people tell apart from those of the repairs; grey is the state before.
_COLOURS = {NONE: "#999999", TRAINED: "#332288"}
_LABELS = {NONE: NONE, TRAINED: "trained registers"}


def is_path(kind: str) -> bool:
    """Whether a kind is the path of an artifact or of a list, or a control of one."""
    what, _ = split_control(kind)
    named = (NONE, TRAINED, *REPAIRS, *axis_files("repairs"))
    suffixes = {".safetensors", *(repair.suffix for repair in REPAIRS.values())}
    return what not in named and Path(what).suffix in suffixes


def kind_folder(kind: str) -> str:
    """Name a kind as a folder."""
    what, control = split_control(kind)
    return "-".join(filter(None, (Path(what).name if is_path(kind) else what, control)))


def kind_config(kind: str, current: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a config's `repair` of a kind that is neither "none" nor "trained".

    Args:
        kind: the type of a repair, of which what ships is taken; a file's name; a path; or a
            control of one of these.
        current: what the config has; a list of neurons keeps its options.

    Raises:
        MissingFileError: no such file.
        InputError: it cannot be read, or has no such control.
    """
    what, control = split_control(kind)
    if is_path(kind):
        repair = dict(parse_repair(what, current) or {})
    else:
        repair = dict(repair_named(what).auto() if what in REPAIRS else repair_config(what))
    return with_control(repair, control)


def repair_file(kind: str) -> str | None:
    """Return the file in `configs/repairs` of a kind: of that name, else the first of that type."""
    files = axis_files("repairs")
    kind, _ = split_control(kind)
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
    what, control = split_control(kind)
    if not is_path(kind) and what not in known:
        raise InputError(f"--repairs: {unknown_name('repair', what, known)}")
    if control and what in (NONE, TRAINED):
        raise InputError(f"--repairs {kind}: {what!r} has no control")
    if is_path(kind) or control:
        kind_config(kind)


def kind_label(kind: str) -> str:
    """Name a kind in a table, a control as such."""
    if kind in _LABELS:
        return _LABELS[kind]
    what, control = split_control(kind)
    if not is_path(kind):
        repair = repair_named(what if what in REPAIRS else kind_config(what)["type"])
        words = f"{repair.controls[control]} (control)" if control else ""
        return ", ".join(filter(None, (repair.label, words)))
    artifact = load_repair(what)
    words = control_words(artifact, {"control": control})
    label = repair_named(artifact.type).label
    return ", ".join(filter(None, (label, words, Path(what).stem)))


def is_control(kind: str) -> bool:
    """Whether a kind is a control of a repair, also one that was fitted as such."""
    what, control = split_control(kind)
    return bool(control) or (is_path(kind) and bool(control_words(load_repair(what), {})))


def kind_colour(kind: str) -> str:
    """Return the colour of a kind's bars, half as strong for a control."""
    if kind in _COLOURS:
        return _COLOURS[kind]
    what, _ = split_control(kind)
    repair = repair_named(what if what in REPAIRS else kind_config(what)["type"])
    return _paler(repair.colour) if is_control(kind) else repair.colour


def _paler(colour: str) -> str:
    return "#" + "".join(f"{(int(colour[i : i + 2], 16) + 255) // 2:02x}" for i in (1, 3, 5))
