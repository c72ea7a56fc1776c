"""Why the weights of a file are not those of a model, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_HUGGING_FACE = re.compile(r"embeddings\.(patch_|position_|cls_)|\.layer\.\d+\.|vision_model\.")
_DENOISER = re.compile(r"(\w+\.)*denoiser\.")
_OPENMMLAB = re.compile(r"patch_embed\.projection\.|^(\w+\.)?layers\.\d+\.(ln|ffn|attn)")
_BLOCK = re.compile(r"blocks\.(\d+)\.")


def mismatch(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], model: str) -> str | None:
    """Compare the tensors of a file with those of a model.

    Args:
        state: of the file, in timm's names.
        wanted: of the model.
        model: its name.

    Returns:
        The difference and what to do about it; None if there is none.
    """
    missing = sorted(wanted.keys() - state.keys())
    left_over = sorted(state.keys() - wanted.keys())
    differ = sorted(
        key for key in wanted.keys() & state.keys() if state[key].shape != wanted[key].shape
    )
    faults = {
        "missing": missing,
        "not part of the model": left_over,
        "other shape": [f"{k} {_shape(state[k])} instead of {_shape(wanted[k])}" for k in differ],
    }
    if not any(faults.values()):
        return None
    listed = "; ".join(
        f"{what} ({len(keys)}): {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        for what, keys in faults.items()
        if keys
    )
    return f"{_reason(state, wanted, model)} ({listed})"


def foreign_layout(names: list[str]) -> str | None:
    """Name the layout of a file that is not timm's and not convertible, None if it is not known."""
    if any(map(_DENOISER.match, names)):
        return (
            "is a denoiser of Denoising-ViT, a block that goes behind a ViT, and holds no ViT. "
            "Give a distilled file of theirs (voc_distilled, imgnet_distilled)"
        )
    if any(map(_HUGGING_FACE.search, names)):
        return (
            "is in a layout of Hugging Face transformers that is not known here (known: DINOv2, "
            "DINOv3, CLIP, SigLIP, ViT). Give the same weights as timm or their "
            "authors publish them (model='hf-hub:timm/NAME' with pretrained=True, or that file)"
        )
    if any(map(_OPENMMLAB.search, names)):
        return (
            "is in the layout of OpenMMLab's own VisionTransformer. Give the same weights as timm "
            "or their authors publish them"
        )
    return None


def other_patch(kernel: Tensor, expected: Tensor, model: str) -> str | None:
    """Say how the kernel [C, 3, P, P] (or [C, 3 * P * P]) of a file differs from the model's own.

    timm resamples a kernel of another size, so after its conversion the difference cannot be seen.
    """
    if kernel.ndim < 4 and kernel[0].numel() == expected[0].numel():
        return None
    if kernel.ndim == 4 and kernel.shape[1:] == expected.shape[1:]:
        return None
    theirs = " x ".join(map(str, kernel.shape[2:])) or f"{kernel[0].numel()} values,"
    what = f"its patches have {theirs} pixels" if kernel.ndim == 4 else f"its patches have {theirs}"
    channels = "" if kernel.shape[1] == expected.shape[1] else f" and {kernel.shape[1]} channels"
    ours = " x ".join(map(str, expected.shape[2:]))
    return (
        f"{what}{channels if kernel.ndim == 4 else ''}, those of {model} {ours} pixels of "
        f"{expected.shape[1]} channels. The features of a resampled kernel are others: give the "
        "name of the model with such patches"
    )


def _reason(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], model: str) -> str:
    """Return the first difference that explains the others."""
    sizes = ("blocks.0.norm1.weight", "blocks.0.attn.proj.weight")
    widths = [_size(tensors, *sizes) for tensors in (state, wanted)]
    depths = [len({m[1] for m in map(_BLOCK.match, tensors) if m}) for tensors in (state, wanted)]
    if "patch_embed.proj.weight" not in state or not depths[0]:
        return "it is no file of a ViT that timm can read. Give the file of this architecture"
    if widths[0] != widths[1]:
        return (
            f"it has {widths[0]} channels, {model} has {widths[1]}: it is another size of ViT. "
            "Give that model's name"
        )
    if depths[0] != depths[1]:
        return f"it has {depths[0]} blocks, {model} has {depths[1]}. Give the name of such a model"
    registers = [_size(tensors, "reg_token", at=1) for tensors in (state, wanted)]
    if registers[0] != registers[1]:
        return (
            f"it has {registers[0] or 'no'} trained registers (reg_token), {model} has "
            f"{registers[1] or 'none'}: give the name of the model with as many, as in "
            "vit_*_patch14_reg4_dinov2, or the one without"
        )
    return _smaller_reason(state, wanted, model)


def _smaller_reason(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], model: str) -> str:
    names = {"blocks.0.ls1.gamma", "blocks.0.gamma_1"}
    scaled = [not names.isdisjoint(tensors) for tensors in (state, wanted)]
    if scaled[0] != scaled[1]:
        return (
            f"it {'has' if scaled[0] else 'lacks'} LayerScale, {model} "
            f"{'lacks' if scaled[0] else 'has'} it: give the name of its own architecture "
            "(DINOv2, DINOv3, DeiT-III), or model_kwargs=dict(init_values=1e-5)"
        )
    return f"it is another architecture than {model}. Give the timm name that the file was made for"


def _size(tensors: Mapping[str, Tensor], *keys: str, at: int = 0) -> int:
    found = next((tensors[key] for key in keys if key in tensors), torch.empty(0))
    return found.shape[at] if found.ndim > at else 0


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
