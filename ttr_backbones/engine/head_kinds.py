"""Which kind of head a file holds, and which config goes with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch


class _Head(NamedTuple):
    """A kind of head: how its files differ from each other, in the words of the configs.

    Args:
        kind: its name.
        weight: a tensor [outputs, channels, ...] that only this kind has.
        config: the configs that have it.
        outputs: advice if the outputs differ, with the two numbers to fill in.
        four: advice if the file has four times the channels of the config.
        one: advice if it has a quarter of them.
    """

    kind: str
    weight: str
    config: str
    outputs: str = ""
    four: str = ""
    one: str = ""


_HEADS = (
    _Head(
        kind="segmentation",
        weight="decode_head.conv_seg.weight",
        config="a config of segmentation, as linear_ade20k",
        outputs="the file predicts {} classes and the config {}: take the config of the file's "
        "data set (ADE20K has 150, VOC2012 has 21).",
        four="the file is a multi-scale (ms) head over four maps: take the _ms config.",
        one="the file is a linear head over one map: take the config without _ms.",
    ),
    _Head(
        kind="linear depth",
        weight="decode_head.conv_depth.weight",
        config="a lin1 or lin4 config of depth, as lin1_nyu_dinov2",
        outputs="the file has {0} depth bins and the config {1}: set "
        "model.decode_head.n_bins={0}, if the file's bins are equally spaced.",
        four="the file is a lin.4 head over four blocks: take the _lin4_ config.",
        one="the file is a lin.1 head over one block: take the _lin1_ config.",
    ),
    _Head(
        kind="DPT depth",
        weight="decode_head.reassemble_blocks.readout_projects.0.0.weight",
        config="a dpt config of depth, as dpt_nyu_dinov2",
    ),
)


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


def _head_in(names: Iterable[str]) -> _Head | None:
    return next((head for head in _HEADS if head.weight in names), None)


def _shape_advice(head: _Head, held: torch.Size, needed: torch.Size) -> str:
    advice = []
    if held[0] != needed[0] and head.outputs:
        advice.append(head.outputs.format(held[0], needed[0]))
    if held[1] == 4 * needed[1] and head.four:
        advice.append(head.four)
    elif needed[1] == 4 * held[1] and head.one:
        advice.append(head.one)
    elif held[1] != needed[1]:
        advice.append(
            f"the file's head reads {held[1]} channels and the config's {needed[1]}: take the "
            "config of the backbone that the head was trained on."
        )
    return " ".join(advice) or "take the config that the file was trained with."
