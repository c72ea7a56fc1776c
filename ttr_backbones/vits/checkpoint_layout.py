"""Where in a file the backbone is: containers, prefixes, heads and wrappers that trainers add."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.hugging_face_names import (
    EMBEDDING,
    is_hugging_face,
    publishers_names,
)

# torch.compile, FSDP and activation checkpointing write their own level into every name.
_WRAPPERS = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# The patch embedding, of which every backbone has one.
_EMBEDDINGS = re.compile(
    r"(?P<prefix>.*?)(?:(?:patch_embed\.proj|preprocessor\.patchifier\.proj|conv1)\.weight|"
    rf"{EMBEDDING})"
)
_HEAD = re.compile(
    r"(?:\w*heads?|head_\w+|fc|classifier|projector|prototypes|decoder\w*|mask_head)(?:\.|$)"
)
_CHUNK = re.compile(r"blocks\.(\d+)\.(\d+)\.")
_TRUNK = "visual.trunk."  # a model of timm in open_clip


class StoredBackbone(NamedTuple):
    """A backbone in a file.

    Args:
        prefix: what stands before its names; "" where it is the whole file.
        state: its tensors, named as its publisher does.
    """

    prefix: str
    state: dict[str, Tensor]

    @property
    def kernel(self) -> Tensor | None:
        """The kernel of the patch embedding as it lies in the file, None if it is not known."""
        return next((self.state[key] for key in self.state if _EMBEDDINGS.fullmatch(key)), None)


def is_head(key: str) -> bool:
    """Whether a tensor belongs to a classifier or a head for training, not to the backbone."""
    return _HEAD.match(key) is not None


def tensors_by_name(checkpoint: Any) -> dict[str, Tensor]:
    """Lay nested dicts out flat, {dotted name: tensor}; everything else is left out."""
    found: dict[str, Tensor] = {}
    waiting: list[tuple[str, Any]] = [("", checkpoint)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Tensor):
            found[_WRAPPERS.sub("", name)] = value
        elif isinstance(value, Mapping):
            keys = [key for key in value if isinstance(key, str)]
            waiting += [(f"{name}.{key}" if name else key, value[key]) for key in reversed(keys)]
    return found


def stored_backbones(tensors: Mapping[str, Tensor]) -> list[StoredBackbone]:
    """Find every backbone among the tensors of a file; none where its layout is not known."""
    matches = [_EMBEDDINGS.fullmatch(key) for key in tensors]
    prefixes = {match["prefix"] for match in matches if match and _begins(match, tensors)}
    return [
        StoredBackbone(prefix, _state(prefix, prefixes - {prefix}, tensors))
        for prefix in sorted(prefixes)
    ]


def choose_backbone(
    stored: list[StoredBackbone], kernel: torch.Size, source: str, prefix: str | None
) -> StoredBackbone:
    """Choose the one that is meant: the named one, the only one, or the only one that fits.

    Args:
        stored: at least one.
        kernel: shape of the model's patch embedding.
        source: how to name the file in a message.
        prefix: the user's choice, None for none.

    Raises:
        InputError: no such prefix, or several different backbones that fit.
    """
    if prefix is not None:
        named = {each.prefix.rstrip("."): each for each in stored}
        if prefix.rstrip(".") not in named:
            raise InputError(f"{source}: {unknown_name('checkpoint_prefix', prefix, named)}")
        return named[prefix.rstrip(".")]
    fitting = [each for each in stored if each.kernel is not None and each.kernel.shape == kernel]
    different = _different(fitting or stored)
    if len(different) > 1:
        prefixes = [each.prefix.rstrip(".") for each in different]
        listed = " and ".join(map(repr, prefixes))
        usual = next((p for p in prefixes if re.search(r"teacher|ema", p)), prefixes[0])
        raise InputError(
            f"{source} holds {len(different)} different backbones, under the prefixes {listed}: "
            f"say which is meant, as in checkpoint_prefix={usual!r} (model.backbone."
            "checkpoint_prefix in a config). DINO and DINOv2 evaluate the teacher, timm the EMA"
        )
    return different[0]


def _begins(match: re.Match[str], tensors: Mapping[str, Tensor]) -> bool:
    prefix = match["prefix"]
    if (prefix and not prefix.endswith(".")) or tensors[match[0]].ndim < 2:
        return False
    # A convolution called conv1 is everywhere; that of CLIP and PE has such blocks beside it.
    block = f"{prefix}transformer.resblocks.0.ln_1.weight"
    return not match[0].endswith("conv1.weight") or block in tensors


def _state(prefix: str, others: set[str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the tensors under a prefix, without those of backbones inside it."""
    inner = tuple(other for other in others if other.startswith(prefix))
    state = {
        key.removeprefix(prefix): value
        for key, value in tensors.items()
        if key.startswith(prefix) and not (inner and key.startswith(inner))
    }
    if is_hugging_face(state):
        outer = re.sub(r"\w+\.$", "", prefix)  # of vision_model. or vit.
        beside = {k.removeprefix(outer): v for k, v in tensors.items() if k.startswith(outer)}
        return publishers_names(state, beside)
    if "conv1.weight" in state:  # with its prefix timm recognises the visual tower of a CLIP
        return {f"visual.{key}": value for key, value in state.items()}
    if prefix.endswith(_TRUNK):
        state = {f"{_TRUNK}{key}": value for key, value in state.items()}
        head = f"{prefix.removesuffix('trunk.')}head.proj.weight"
        return state | ({"visual.head.proj.weight": tensors[head]} if head in tensors else {})
    return _without_chunks(state)


def _without_chunks(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Undo the chunks that DINOv2 lays its blocks into for FSDP: blocks.CHUNK.BLOCK.*."""
    found = {(int(m[1]), int(m[2])) for m in map(_CHUNK.match, state) if m}
    if not found:
        return state
    absolute = len({block for _, block in found}) == len(found)
    index = {at: at[1] if absolute else i for i, at in enumerate(sorted(found))}
    return {
        _CHUNK.sub(lambda m: f"blocks.{index[int(m[1]), int(m[2])]}.", key, count=1)
        if _CHUNK.match(key)
        else key: value
        for key, value in state.items()
    }


def _different(stored: list[StoredBackbone]) -> list[StoredBackbone]:
    """Leave out what holds the same tensors as another one."""
    different: list[StoredBackbone] = []
    for each in stored:
        if not any(_same(each.state, other.state) for other in different):
            different.append(each)
    return different


def _same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    first, second = ({k: v for k, v in s.items() if not is_head(k)} for s in (state, other))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
