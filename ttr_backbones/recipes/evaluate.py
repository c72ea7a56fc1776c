"""Reading a pure-Python config with another backbone in the place of the one that it imports."""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from mmengine.config import ConfigDict

from ttr_backbones.recipes.axes import DATA

_BACKBONES = "backbones"


class Evaluated(NamedTuple):
    """What a config file holds.

    Args:
        values: the config, as `Config.fromfile` reads it.
        facts: the names that the file deletes: what it says about itself beside the config.
    """

    values: ConfigDict
    facts: dict[str, Any]


def evaluate(
    path: Path, backbone: Mapping[str, Any] | None = None, data: Path | None = None
) -> Evaluated:
    """Read a config file as mmengine does, with another backbone or data set.

    Args:
        path: a config in mmengine's pure-Python style whose bases are relative imports.
        backbone: what is imported in place of the names of every file in `backbones/`; None takes
            the file that is named there.
        data: the file that is read in place of every one in `_base_/open_vocabulary/`; None takes
            the file that is named there.
    """
    parsed = _parsed(path, path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__file__": str(path)}
    for node in parsed.bases:
        base = _base_path(path, node)
        inner = data
        if data is not None and base.parent.name == DATA:
            base, inner = data, None  # what it takes of another data set is that one's own
        if backbone is not None and base.parent.name == _BACKBONES:
            found = copy.deepcopy(dict(backbone))
        else:
            found = evaluate(base, backbone, inner).values
        star = node.names[0].name == "*"
        names |= found if star else {name.name: found[name.name] for name in node.names}
    exec(parsed.code, names)  # a config in Python is code, here as in mmengine
    kept = {name: value for name, value in names.items() if not name.startswith("__")}
    facts = {name: _fresh(kept.pop(name)) for name in parsed.deleted if name in kept}
    return Evaluated(_fresh(kept), facts)


def default_backbone(path: Path) -> str | None:
    """Return the name of the backbone file that a protocol imports, or None if there is none."""
    for node in _parsed(path, path.read_text(encoding="utf-8")).bases:
        base = _base_path(path, node)
        if base.parent.name == _BACKBONES:
            return base.stem
        if base.parent == path.parent and (found := default_backbone(base)):
            return found
    return None


_DONE_ELSEWHERE = (ast.With, ast.ImportFrom, ast.Delete)


class _Parsed(NamedTuple):
    """What the text of a config file says: what it imports, deletes, and the rest of it."""

    bases: tuple[ast.ImportFrom, ...]
    deleted: frozenset[str]
    code: CodeType


@functools.cache  # the files of `_base_` are read for every config, hundreds of times in a table
def _parsed(path: Path, text: str) -> _Parsed:
    tree = ast.parse(text, filename=str(path))
    bases = tuple(_base_imports(tree))
    deleted = frozenset(
        target.id
        for node in tree.body
        if isinstance(node, ast.Delete)
        for target in node.targets
        if isinstance(target, ast.Name)
    )
    tree.body = [node for node in tree.body if not isinstance(node, _DONE_ELSEWHERE)]
    return _Parsed(bases, deleted, compile(tree, str(path), "exec"))


def _base_imports(tree: ast.Module) -> Iterator[ast.ImportFrom]:
    """Yield the imports under `with read_base():`."""
    for node in tree.body:
        if isinstance(node, ast.With):
            yield from (inner for inner in node.body if isinstance(inner, ast.ImportFrom))


def _base_path(path: Path, node: ast.ImportFrom) -> Path:
    folder = path.resolve().parents[node.level - 1]
    return folder.joinpath(*(node.module or "").split(".")).with_suffix(".py")


def _fresh(value: Any) -> Any:
    """Copy containers, so that two keys never share one: a change of the one is not the other's."""
    if isinstance(value, dict):
        return ConfigDict({key: _fresh(inner) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_fresh(inner) for inner in value)
    return value
