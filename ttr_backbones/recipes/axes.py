"""The three axes: files of backbones, of repairs and of protocols."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ttr_backbones.package_data import configs_dir

Axis = Literal["backbones", "repairs", "protocols"]
AXES: tuple[Axis, ...] = get_args(Axis)


def axis_files(axis: Axis) -> dict[str, Path]:
    """Return {name: file} of one axis, sorted by name."""
    return {path.stem: path for path in sorted((configs_dir() / axis).glob("*.py"))}


class ProtocolFiles(NamedTuple):
    """What a protocol is made of.

    Args:
        path: a file in `protocols/`, or of a method in `methods/`.
        data: the file in `_base_/open_vocabulary/` that stands in place of the method's own; None
            for a file in `protocols/`.
    """

    path: Path
    data: Path | None = None


def protocol_files() -> dict[str, ProtocolFiles]:
    """Return every protocol by its name: the files, then `<method>_<data set>` of each two."""
    alone = {name: ProtocolFiles(path) for name, path in axis_files("protocols").items()}
    return alone | {
        f"{method}_{data}": ProtocolFiles(path, data_path)
        for method, path in method_files().items()
        for data, data_path in data_files().items()
    }


def protocol_named(name: str) -> ProtocolFiles:
    """Return what the protocol `name`, one of `protocol_files`, is made of."""
    alone = axis_files("protocols")  # most are, and one folder is quickly read
    return ProtocolFiles(alone[name]) if name in alone else protocol_files()[name]


def method_files() -> dict[str, Path]:
    """Return {name: file} of the methods that go with every data set of `data_files`."""
    return {path.stem: path for path in sorted((configs_dir() / "methods").glob("*.py"))}


def data_files() -> dict[str, Path]:
    """Return {name: file} of the data sets that every method of `method_files` runs on."""
    folder = configs_dir() / "_base_" / DATA
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


DATA = "open_vocabulary"  # folder of these data sets


def summary(path: Path) -> str:
    """Return what a file of an axis is, the first line of its docstring, without the full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".")
