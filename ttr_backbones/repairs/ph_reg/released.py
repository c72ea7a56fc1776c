"""The weight files that the authors of PH-Reg released, and those that their training writes.

They hold a whole model: DINOv2 as transformers names it, or the image encoder of OpenAI's CLIP,
with the registers beside it. Tensors come under the names that timm has for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.ph_reg.distillation import REGISTERS, TYPE
from ttr_backbones.safe_load import load_weight_file

_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
_OF_LAYER = {
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}
_PROJECTIONS = ("query", "key", "value")
_EMBEDDINGS = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
}
_CLIP = {
    "conv1": "patch_embed.proj",
    "ln_pre": "norm_pre",
    "ln_post": "norm",
    "attn.in_proj": "attn.qkv",
    "attn.out_proj": "attn.proj",
    "ln_1": "norm1",
    "ln_2": "norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def read_released(path: str | Path) -> Artifact:
    """Read a released file, or a checkpoint of the authors' training.

    Args:
        path: of a state dict, or of one under `trainable_state_dict` that holds the trained part.

    Returns:
        An artifact with all that the file holds, whose parameters a model takes on as far as its
        own are others. It is bound to no weights: the file says nothing of those it began with.

    Raises:
        MissingFileError: no such file.
        InputError: a file that would run code or has another layout.
    """
    held = load_weight_file(Path(path).expanduser())
    state = held.get("trainable_state_dict", held) if isinstance(held, Mapping) else {}
    tensors = {str(k): v for k, v in state.items() if isinstance(v, Tensor)}
    for registers, convert, facts in _LAYOUTS:
        if registers in tensors:
            found = convert({k: v for k, v in tensors.items() if k != registers})
            if found:
                learned = tensors[registers].reshape(-1, tensors[registers].shape[-1])
                source = {"source": "PH-Reg's authors, arXiv 2505.21501", "file": Path(path).name}
                return Artifact(TYPE, "", {**found, REGISTERS: learned}, facts, source)
    raise InputError(
        f"{path} is no file of PH-Reg: expected `registers` beside `model.embeddings...` (DINOv2) "
        "or `register_tokens` beside `vit...` or `original_image_encoder...` (CLIP), got "
        f"{', '.join(sorted(tensors)[:4]) or type(held).__name__}"
    )


def _of_dinov2(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of transformers under `model.`; the same tensors come again without that prefix."""
    found: dict[str, Tensor] = {}
    projections: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if not name.startswith("model."):
            continue
        whole = name.removeprefix("model.")
        stem, _, kind = whole.rpartition(".")
        layer = _LAYER.fullmatch(whole)
        if whole in _EMBEDDINGS or stem in _EMBEDDINGS:
            found[_EMBEDDINGS.get(whole) or f"{_EMBEDDINGS[stem]}.{kind}"] = tensor
        elif layer is not None:
            block, rest = f"blocks.{layer[1]}", layer[2]
            part, _, last = rest.rpartition(".")
            projection = part.rpartition(".")[2]
            if part.startswith("attention.attention.") and projection in _PROJECTIONS:
                projections.setdefault(f"{block}.attn.qkv.{last}", {})[projection] = tensor
            elif rest in _OF_LAYER:
                found[f"{block}.{_OF_LAYER[rest]}"] = tensor
            else:
                found[f"{block}.{_OF_LAYER.get(part, part)}.{last}"] = tensor
        elif whole != "embeddings.mask_token":  # for pretraining
            raise InputError(f"{name} is no tensor of transformers' Dinov2Model")
    for name, parts in projections.items():
        found[name] = torch.cat([parts[projection] for projection in _PROJECTIONS])
    return found


def _of_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names under `vit.` (new) or `original_image_encoder.` (old)."""
    prefixes = ("vit.", "original_image_encoder.")
    found: dict[str, Tensor] = {}
    for prefix in prefixes:
        for name, tensor in tensors.items():
            if name.startswith(prefix):
                renamed, value = _clip_name(name.removeprefix(prefix), tensor)
                if renamed is not None:
                    found[renamed] = value
    return found


def _clip_name(name: str, tensor: Tensor) -> tuple[str | None, Tensor]:
    if name == "proj":  # was not trained, and is a head in timm
        return None, tensor
    if name == "class_embedding":
        return "cls_token", tensor.reshape(1, 1, -1)
    if name == "positional_embedding":
        return "pos_embed", tensor.reshape(1, *tensor.shape[-2:])
    name = name.replace("transformer.resblocks.", "blocks.")
    block = re.match(r"blocks\.\d+\.", name)
    first = "" if block is None else block[0]
    rest = name.removeprefix(first)
    for theirs, timms in _CLIP.items():
        if rest.startswith((f"{theirs}.", f"{theirs}_")):
            rest = timms + "." + rest[len(theirs) + 1 :]
            break
    return first + rest, tensor


_Convert = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
# The name of the registers, how the rest is renamed, and what else an artifact has to say.
_LAYOUTS: tuple[tuple[str, _Convert, dict[str, str]], ...] = (
    ("registers", _of_dinov2, {}),
    ("register_tokens", _of_clip, {"last_block": "value"}),
)
