"""Load a local weight file into a timm ViT, whichever of the usual formats it has.

timm (also safetensors), DINOv2 (`*_pretrain.pth`), OpenAI CLIP (a TorchScript archive or its state
dict), open_clip, or the visual tower of a CLIP alone. timm knows how to rename the keys; what is
added here is that every tensor must find its place, and that a misfit is explained.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.safe_load import load_checkpoint_file

_CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model", "teacher")
_WRAPPERS = ("_orig_mod.", "module.", "backbone.")


def load_weights(vit: VisionTransformer, path: str | Path) -> None:
    """Copy the weights of the file at `path` into `vit`; a classifier in the file is left out.

    Raises:
        MissingFileError: no such file.
        InputError: not a weight file, one that would run code, or the weights of another model.
    """
    state = _unwrap(_read(Path(path).expanduser()), path)
    try:
        # adapt_layer_scale renames DeiT-III's gamma_1 and touches no other family.
        state = checkpoint_filter_fn(state, vit, adapt_layer_scale=True)
    except (RuntimeError, KeyError, AssertionError, IndexError) as error:
        raise InputError(
            f"{path} does not fit {_name(vit)}: timm could not convert it ({error}). Is it the "
            "file of this very architecture?"
        ) from error
    wanted = vit.state_dict()
    state = {key: state[key] for key in state if key in wanted or not _is_classifier(key)}
    _require_fit(state, wanted, vit, path)
    vit.load_state_dict(state)


def _read(path: Path) -> Any:
    if path.is_file() and _is_torchscript(path):
        # OpenAI publishes CLIP so. TorchScript is not pickle: it cannot import or call Python.
        return torch.jit.load(path, map_location="cpu").state_dict()
    return load_checkpoint_file(path, "cpu")


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def _unwrap(checkpoint: Any, path: str | Path) -> dict[str, Tensor]:
    """Take the tensors out of the containers and name prefixes that trainers put around them."""
    for key in _CONTAINERS:
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, dict) or not checkpoint:
        raise InputError(
            f"{path} holds a {type(checkpoint).__name__}: expected a state dict {{name: tensor}}"
        )
    state = {key: value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    for prefix in _WRAPPERS:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    if "class_embedding" in state and "conv1.weight" in state:
        # The visual tower of a CLIP alone; with its prefix timm recognises it.
        state = {f"visual.{key}": value for key, value in state.items()}
    return state


def _is_classifier(key: str) -> bool:
    return key.startswith(("head.", "head_dist.", "fc."))


def _require_fit(
    state: dict[str, Tensor], wanted: dict[str, Tensor], vit: nn.Module, path: str | Path
) -> None:
    missing = sorted(wanted.keys() - state.keys())
    unexpected = sorted(state.keys() - wanted.keys())
    differ = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & state.keys())
        if state[key].shape != wanted[key].shape
    ]
    faults = {"missing": missing, "not part of the model": unexpected, "other shape": differ}
    if any(faults.values()):
        told = "; ".join(
            f"{what} ({len(which)}): {', '.join(which[:3])}{', ...' if len(which) > 3 else ''}"
            for what, which in faults.items()
            if which
        )
        raise InputError(
            f"{path} does not hold the weights of {_name(vit)}: {told}. Give the timm name of the "
            "architecture this file was made for"
        )


def _name(vit: nn.Module) -> str:
    cfg = getattr(vit, "pretrained_cfg", None) or {}
    return str(cfg.get("architecture") or type(vit).__name__)
