"""A register in the other families of ViTs: as on the CPU, and off again bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn

from gpu_steps.step import Check, NotPossibleError
from ttr_backbones.registers import add_test_time_registers, remove_test_time_registers

_NEURONS = {1: [3, 5], 2: [7]}
_TIMM = ("vit_small_patch16_dinov3", "eva02_tiny_patch14_224", "vit_base_patch16_siglip_224")
_SIDE = 112  # pixels
_SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": _SIDE,
    "patch_size": 14,
}


def run(check: Check) -> None:
    """Compare with the CPU; whatever is not installed is recorded."""
    torch.manual_seed(0)
    made: dict[str, Callable[[], nn.Module]] = {name: _timm(check, name) for name in _TIMM}
    try:
        made |= _transformers()
    except ImportError as error:
        check.record("transformers", None, f"left out: {error}")
    names = [name for name in made if name not in _TIMM or timm.is_model(name)]
    if not names:
        raise NotPossibleError("neither this timm nor transformers has one of them")
    for name in names:
        _compare(check, name, made[name]())


def _compare(check: Check, name: str, vit: nn.Module) -> None:
    vit.eval()
    # LayerScale as it begins would hide what the blocks do.
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    images = torch.randn(3, 3, _SIDE, _SIDE)
    before = _features(vit.to(check.device), images.to(check.device))
    add_test_time_registers(vit.cpu(), _NEURONS)
    expected = _features(vit, images)
    found = _features(vit.to(check.device), images.to(check.device))
    difference = ((found.cpu() - expected).abs().max() / expected.abs().max()).item()
    check.record(f"{name}: largest difference from the CPU", difference, goal="difference")
    remove_test_time_registers(vit)
    changed = int((_features(vit, images.to(check.device)) != before).sum())
    check.record(f"{name}: features that differ after it was taken off", changed, goal="off")


@torch.no_grad()
def _features(vit: Any, images: Tensor) -> Tensor:
    if hasattr(vit, "forward_features"):
        features: Tensor = vit.forward_features(images)
    else:
        features = vit(images).last_hidden_state
    return features


def _timm(check: Check, name: str) -> Callable[[], nn.Module]:
    kwargs: dict[str, Any] = {"img_size": _SIDE, "num_classes": 0}
    if check.device.type == "cpu":
        kwargs |= {"depth": 4, "embed_dim": 64, "num_heads": 2}
    return lambda: timm.create_model(name, **kwargs)


def _transformers() -> Mapping[str, Callable[[], nn.Module]]:
    import transformers

    mlp = {"intermediate_size": 128}
    return {
        "Dinov2Model": lambda: transformers.Dinov2Model(
            transformers.Dinov2Config(**_SMALL, mlp_ratio=2, layerscale_value=1.0)
        ),
        "CLIPVisionModel": lambda: transformers.CLIPVisionModel(
            transformers.CLIPVisionConfig(**_SMALL, **mlp)
        ),
        "DINOv3ViTModel": lambda: transformers.DINOv3ViTModel(
            transformers.DINOv3ViTConfig(**_SMALL, **mlp, num_register_tokens=2)
        ),
    }
