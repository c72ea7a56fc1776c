"""The three axes: files of backbones, of repairs and of protocols."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Literal, get_args

from ttr_backbones.packaged import configs_dir

Axis = Literal["backbones", "repairs", "protocols"]
AXES: tuple[Axis, ...] = get_args(Axis)


def axis_files(axis: Axis) -> dict[str, Path]:
    """Return {name: file} of one axis, sorted by name."""
    return {path.stem: path for path in sorted((configs_dir() / axis).glob("*.py"))}


def summary(path: Path) -> str:
    """Return what a file of an axis is, the first line of its docstring, without the full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".")
