"""Names of repairs as `--repairs` takes them, one line of a table each.

A name is "none", "trained", the type of a repair, the name of a file in `configs/repairs`, or the
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


def is_path(repair_name: str) -> bool:
    """Whether a name is the path of an artifact or of a list, or a control of one."""
    what, _ = split_control(repair_name)
    named = (NONE, TRAINED, *REPAIRS, *axis_files("repairs"))
    suffixes = {".safetensors", *(repair.suffix for repair in REPAIRS.values())}
    return what not in named and Path(what).suffix in suffixes


def repair_folder(repair_name: str) -> str:
    """Return the name as that of a folder."""
    what, control = split_control(repair_name)
    return "-".join(filter(None, (Path(what).name if is_path(repair_name) else what, control)))


def config_of_repair(repair_name: str, current: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the `repair` of a config, of a name that is neither "none" nor "trained".

    Args:
        repair_name: the type of a repair, of which what ships is taken; a file's name; a path; or a
            control of one of these.
        current: what the config has; a list of neurons keeps its options.

    Raises:
        MissingFileError: no such file.
        InputError: it cannot be read, or has no such control.
    """
    what, control = split_control(repair_name)
    if is_path(repair_name):
        repair = dict(parse_repair(what, current) or {})
    else:
        repair = dict(repair_named(what).auto() if what in REPAIRS else repair_config(what))
    return with_control(repair, control)


def repair_file(repair_name: str) -> str | None:
    """Return the file in `configs/repairs` of a name: that file, else the first of its type."""
    files = axis_files("repairs")
    repair_name, _ = split_control(repair_name)
    if is_path(repair_name):
        repair_name = config_of_repair(repair_name)["type"]
    if repair_name in files:
        return repair_name
    return next((name for name in files if repair_config(name)["type"] == repair_name), None)


def check_repair(repair_name: str, more: Iterable[str] = ()) -> None:
    """Check that there is such a repair.

    Args:
        repair_name: as a user names it.
        more: names that an experiment has besides.

    Raises:
        InputError: there is none.
    """
    known = dict.fromkeys((NONE, TRAINED, *REPAIRS, *axis_files("repairs"), *more))
    what, control = split_control(repair_name)
    if not is_path(repair_name) and what not in known:
        raise InputError(f"--repairs: {unknown_name('repair', what, known)}")
    if control and what in (NONE, TRAINED):
        raise InputError(f"--repairs {repair_name}: {what!r} has no control")
    if is_path(repair_name) or control:
        config_of_repair(repair_name)


def repair_label(repair_name: str) -> str:
    """Return the label in tables, a control as such."""
    if repair_name in _LABELS:
        return _LABELS[repair_name]
    what, control = split_control(repair_name)
    if not is_path(repair_name):
        repair = repair_named(what if what in REPAIRS else config_of_repair(what)["type"])
        words = f"{repair.controls[control]} (control)" if control else ""
        return ", ".join(filter(None, (repair.label, words)))
    artifact = load_repair(what)
    words = control_words(artifact, {"control": control})
    label = repair_named(artifact.type).label
    return ", ".join(filter(None, (label, words, Path(what).stem)))


def is_control(repair_name: str) -> bool:
    """Whether it is a control of a repair, also one that was fitted as such."""
    what, control = split_control(repair_name)
    return bool(control) or (is_path(repair_name) and bool(control_words(load_repair(what), {})))


def repair_colour(repair_name: str) -> str:
    """Return the colour of its bars, half as strong for a control."""
    if repair_name in _COLOURS:
        return _COLOURS[repair_name]
    what, _ = split_control(repair_name)
    repair = repair_named(what if what in REPAIRS else config_of_repair(what)["type"])
    return _paler(repair.colour) if is_control(repair_name) else repair.colour


def _paler(colour: str) -> str:
    return "#" + "".join(f"{(int(colour[i : i + 2], 16) + 255) // 2:02x}" for i in (1, 3, 5))
