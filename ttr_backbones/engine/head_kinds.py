"""Which kind of head a file holds, and which config goes with it: each task registers its kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch


class HeadKind(NamedTuple):
    """A kind of head: how its files differ from each other, in the words of the configs.

    Args:
        kind: its name.
        weight: a tensor [outputs, channels, ...] that only this kind has.
        config: the configs that have it.
        outputs: advice if the outputs differ, with the two numbers to fill in.
        four: advice if the file has the channels of four blocks and the config those of one.
        one: advice if it is the other way round.
        ratio: of these channels.
    """

    kind: str
    weight: str
    config: str
    outputs: str = ""
    four: str = ""
    one: str = ""
    ratio: float = 4.0


HEAD_KINDS: list[HeadKind] = []


def register_head_kinds(kinds: Iterable[HeadKind]) -> None:
    """Register the keys by which files of these kinds of heads are recognised."""
    HEAD_KINDS.extend(kind for kind in kinds if kind not in HEAD_KINDS)


def advice_on_heads(
    held: Mapping[str, torch.Size], needed: Mapping[str, torch.Size], other_shape: Iterable[str]
) -> str | None:
    """Say what to do if the file's head is none of the config's.

    Args:
        held: names and shapes of the file's tensors.
        needed: names and shapes of the model's.
        other_shape: names that are in both, with different shapes.

    Returns:
        Advice, or None if the two heads are alike or of no known kind.
    """
    kind, wanted = _head_in(held), _head_in(needed)
    if kind and wanted and kind != wanted:
        return (
            f"the file is a {kind.kind} head and the config has a {wanted.kind} head: take "
            f"{kind.config} for this file, or another file."
        )
    if wanted and wanted.weight in other_shape:
        return _shape_advice(wanted, held[wanted.weight], needed[wanted.weight])
    return None


def _head_in(names: Iterable[str]) -> HeadKind | None:
    return next((head for head in HEAD_KINDS if head.weight in names), None)


def _shape_advice(head: HeadKind, held: torch.Size, needed: torch.Size) -> str:
    advice = []
    if held[0] != needed[0] and head.outputs:
        advice.append(head.outputs.format(held[0], needed[0]))
    if held[1] == head.ratio * needed[1] and head.four:
        advice.append(head.four)
    elif needed[1] == head.ratio * held[1] and head.one:
        advice.append(head.one)
    elif held[1] != needed[1]:
        advice.append(
            f"the file's head reads {held[1]} channels and the config's {needed[1]}: take the "
            "config of the backbone that the head was trained on."
        )
    return " ".join(advice) or "take the config that the file was trained with."
