"""Facts that the files of backbones and protocols state beside the config."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import ConfigDict

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.recipes.axes import axis_files, protocol_named
from ttr_backbones.recipes.evaluate import evaluate
from ttr_backbones.recipes.timm_facts import timm_facts

_OF_BACKBONES = ("title", "channels", "four_blocks", "facet", "mean", "std")
_SOMETIMES = ("parent", "repairs")


class ProtocolFacts(NamedTuple):
    """Facts of a protocol.

    Args:
        title: label of head and data.
        tta: whether its numbers are averages over scales and mirror images.
        trial: whether it is a protocol in small, whose numbers compare with no published ones.
    """

    title: str
    tta: bool
    trial: bool = False


def backbone_facts(name: str) -> ConfigDict:
    """Return `backbone`, the arguments of `TimmViT`, and `facts` of it, both as in its file.

    The facts: `title` (in words), `channels` C, `four_blocks` (of DINOv2's "lin.4" and DPT),
    `facet` (that LOST takes), `mean` and `std` (RGB, 0..255); some files have `parent` (the
    backbone that is the same but for trained registers) and `repairs` (options that a repair needs
    for this one).

    Args:
        name: file in `configs/backbones`, the path of such a file, or a timm name.

    Raises:
        InputError: timm has no such Vision Transformer, or a file lacks something.
    """
    path = axis_files("backbones").get(name)
    if path is None and name.endswith(".py"):
        path = Path(name).expanduser()
    if path is None:
        return timm_facts(name)
    values = evaluate(path).values
    for key in ("backbone", "facts"):
        if not isinstance(values.get(key), dict):
            raise InputError(f"{path}: expected a dict called `{key}`, as in configs/backbones")
    _check(path, values["facts"], _OF_BACKBONES, _SOMETIMES)
    return values


@functools.cache
def protocol_facts(name: str) -> ProtocolFacts:
    """Return the facts in the file of a protocol.

    Raises:
        InputError: the file lacks something.
    """
    path, data = protocol_named(name)
    facts = evaluate(path, data=data).facts.get("protocol") or {}
    _check(path, facts, ("title", "tta"), ("trial",))
    return ProtocolFacts(**facts)


@functools.cache
def trained_siblings(name: str) -> list[str]:
    """Return the backbones that are this one trained with registers."""
    return [
        other
        for other, path in axis_files("backbones").items()
        if evaluate(path).values["facts"].get("parent") == name
    ]


def _check(
    path: Path, facts: Mapping[str, Any], required: Iterable[str], optional: Iterable[str] = ()
) -> None:
    known = (*required, *optional)
    for fact in facts:
        if fact not in known:
            raise InputError(f"{path}: {unknown_name('fact', fact, known)}")
    if absent := [fact for fact in required if fact not in facts]:
        raise InputError(f"{path}: the facts lack {', '.join(absent)}; expected {', '.join(known)}")
