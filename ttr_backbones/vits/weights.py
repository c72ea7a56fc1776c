"""Load a local weight file into a timm ViT, whichever of the usual formats it has.

timm (also safetensors), DINO, DINOv2 and DINOv3 (`*_pretrain.pth`), OpenAI CLIP (a TorchScript
archive or its state dict), open_clip, PE, EVA, the visual tower of a CLIP alone, Hugging Face
transformers, and what trainers write around these: known by their content, not by the suffix.
timm knows how to rename the keys; what is added here is that the backbone is found in the file,
that every tensor must find its place at its own size, and that a misfit is explained.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from timm.layers import QuickGELU
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.safe_load import load_weight_file
from ttr_backbones.vits.checkpoint_layout import (
    StoredBackbone,
    choose_backbone,
    is_head,
    stored_backbones,
    tensors_by_name,
)
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.finite_weights import require_finite
from ttr_backbones.vits.matching_architecture import fitting_model
from ttr_backbones.vits.mismatch import foreign_layout, mismatch, other_patch
from ttr_backbones.vits.weights_config import config_mismatch

# Scalars in OpenAI's files of CLIP and in no other's.
_OPENAI = ("input_resolution", "context_length", "vocab_size")


def load_weights(vit: nn.Module, path: str | Path, prefix: str | None = None) -> None:
    """Copy the weights of the file at `path` into `vit`.

    Heads for training are left out, and so is a classifier, unless `vit` has one of its shape. A
    position embedding of another grid is resampled, which is logged.

    Args:
        vit: the model.
        path: of the file.
        prefix: of the backbone, for a file with several.

    Raises:
        MissingFileError: no such file.
        InputError: not a weight file, one that would run code, the weights of another model,
            several backbones, or values that are no numbers.
    """
    path = Path(path).expanduser()
    checkpoint = load_weight_file(path)
    tensors = tensors_by_name(checkpoint)
    if not tensors:
        raise InputError(
            f"{path} holds a {type(checkpoint).__name__}: expected a state dict {{name: tensor}}"
        )
    stored = _stored(tensors, vit, path, prefix)
    state = _converted(stored, vit, path)
    require_finite(state | _positions(stored, state), str(path))
    _log_loaded(stored, state, tensors, vit, path)
    _settle_identity(vit, stored, path)
    wanted = vit.state_dict()
    vit.load_state_dict({key: state[key] for key in wanted})


def _stored(
    tensors: Mapping[str, Tensor], vit: nn.Module, path: Path, prefix: str | None
) -> StoredBackbone:
    found = stored_backbones(tensors)
    family = family_of(vit)
    kernel = family.kernel(vit)
    if not found:
        foreign = foreign_layout(list(tensors))
        if foreign is not None:
            raise InputError(f"{path} {foreign}")
        return StoredBackbone("", dict(tensors))  # timm may know it
    stored = choose_backbone(found, kernel.shape, str(path), prefix)
    patch = None if stored.kernel is None else other_patch(stored.kernel, kernel, _name(vit))
    if patch is not None:
        raise _refusal(vit, stored, path, patch)
    declared = config_mismatch(vit, path, _name(vit))
    if declared is not None:
        raise _refusal(vit, stored, path, declared)
    act = family.mlp(family.blocks(vit)[0]).act
    if all(key in tensors for key in _OPENAI) and not isinstance(act, QuickGELU):
        raise InputError(
            f"{path} is OpenAI's CLIP, which was trained with QuickGELU, and {_name(vit)} has "
            f"{type(act).__name__}, which gives wrong features. Use the "
            "architecture with `clip_quickgelu` in its name"
        )
    return stored


def _converted(stored: StoredBackbone, vit: nn.Module, path: Path) -> dict[str, Tensor]:
    """Rename as timm does, leave heads out, and check that the rest is the model."""
    wanted = vit.state_dict()
    try:
        state = family_of(vit).renamed(vit, stored.state)
    except InputError as error:  # a family knows the reason
        raise _refusal(vit, stored, path, str(error)) from error
    except (RuntimeError, KeyError, AssertionError, IndexError, ValueError) as error:
        why = f"timm could not convert it ({error}). Is it the file of this very architecture?"
        plain = {k: v for k, v in stored.state.items() if k != "pos_embed" and not is_head(k)}
        if "blocks.0.norm1.weight" in plain:  # timm's own names, which need no conversion
            expected = {key: value for key, value in wanted.items() if key != "pos_embed"}
            why = mismatch(plain, expected, _name(vit)) or _unknown_grid(stored, {}, vit) or why
        raise _refusal(vit, stored, path, why) from error
    state = {key: value for key, value in state.items() if key in wanted or not is_head(key)}
    problem = mismatch(state, wanted, _name(vit)) or _unknown_grid(stored, state, vit)
    if problem is not None:
        raise _refusal(vit, stored, path, problem)
    return state


def _refusal(vit: nn.Module, stored: StoredBackbone, path: Path, problem: str) -> InputError:
    """Say what does not fit, and which architecture does, if it is a usual one."""
    other = fitting_model(stored.state, stored.kernel, _name(vit))
    reason = f"{path} does not hold the weights of {_name(vit)}: {problem}."
    return InputError(f"{reason} It fits {other}." if other else reason)


def _positions(stored: StoredBackbone, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return {"pos_embed": [..., N, C]} as it lies in the file, where timm made another of it."""
    converted = state.get("pos_embed")
    kept = {tensor.untyped_storage().data_ptr() for tensor in stored.state.values()}
    if converted is None or converted.untyped_storage().data_ptr() in kept:
        return {}
    names = ("visual.positional_embedding", "visual.trunk.pos_embed", "pos_embed")
    found = next((stored.state[name] for name in names if name in stored.state), None)
    return {} if found is None else {"pos_embed": found}


def _unknown_grid(
    stored: StoredBackbone, state: Mapping[str, Tensor], vit: nn.Module
) -> str | None:
    """Say so if positions were resampled that are no square grid behind the model's prefix."""
    # Where timm could not convert anything, the file has them under the model's name.
    positions = (_positions(stored, state) if state else stored.state).get("pos_embed")
    if positions is None or "register_tokens" in stored.state:
        return None
    prefix = _prefix(vit)
    rows = positions.shape[-2] - prefix
    if rows > 0 and isqrt(rows) ** 2 == rows:
        return None
    return (
        f"it has {positions.shape[-2]} positions, which are no square grid beside the {prefix} of "
        f"the prefix of {_name(vit)}: in one of them CLS has a position, in the other it has none"
    )


def _log_loaded(
    stored: StoredBackbone,
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    vit: nn.Module,
    path: Path,
) -> None:
    if stored.prefix:
        rest = sorted(
            {key.partition(".")[0] for key in tensors if not key.startswith(stored.prefix)}
        )
        aside = f"; left aside: {', '.join(rest)}" if rest else ""
        print_log(f"{path}: the backbone is under {stored.prefix!r}{aside}", logger="current")
    positions = _positions(stored, state).get("pos_embed")
    if positions is not None:
        side = isqrt(positions.shape[-2] - _prefix(vit))
        grid = " x ".join(map(str, family_of(vit).facts(vit).grid))
        print_log(
            f"{path}: the position embedding, a grid of {side} x {side}, was resampled to the "
            f"{grid} of {_name(vit)}. model_kwargs=dict(img_size=...) keeps the grid of the file",
            logger="current",
            level=logging.WARNING,
        )


def _settle_identity(vit: nn.Module, stored: StoredBackbone, path: Path) -> None:
    """Take the tag from a model whose file has another classifier than the tag's weights."""
    cfg: dict[str, Any] = dict(getattr(vit, "pretrained_cfg", None) or {})
    classifier = stored.state.get("head.weight")
    if classifier is None or not cfg.get("tag") or len(classifier) == cfg.get("num_classes"):
        return
    print_log(
        f"{path} has a classifier of {len(classifier)} classes, and the weights "
        f"{cfg['architecture']}.{cfg['tag']} have {cfg.get('num_classes') or 'none'}: these are "
        f"other weights of {cfg['architecture']}, and are called by that name. Register neurons "
        "belong to one checkpoint: a list of that tag need not fit",
        logger="current",
        level=logging.WARNING,
    )
    model: Any = vit
    model.pretrained_cfg = cfg | {"tag": "", "num_classes": len(classifier)}


def _prefix(vit: nn.Module) -> int:
    """Rows of the position embedding before those of the patches."""
    family = family_of(vit)
    return family.num_prefix(vit) if family.facts(vit).prefix_has_positions else 0


def _name(vit: nn.Module) -> str:
    cfg: Mapping[str, Any] = getattr(vit, "pretrained_cfg", None) or {}
    return str(cfg.get("architecture") or type(vit).__name__)
