"""In which numbers a backbone computes."""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Literal, Protocol

import torch
from torch import nn

from ttr_backbones.vits.family import family_of

Precision = Literal["auto", "fp32", "bf16"]


class WithPrecision(Protocol):
    """A backbone, as far as its precision depends on it."""

    vit: Any
    frozen: bool
    precision: Precision


def wants_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bfloat16: if asked to, or by default on a GPU that has it."""
    if precision == "auto":
        return device.type == "cuda" and _has_bf16(device)
    return precision == "bf16"


def settle_precision(backbone: WithPrecision, device: torch.device) -> bool:
    """Whether a backbone computes in bfloat16 on `device`; its frozen weights are cast for it."""
    bf16 = backbone.frozen and wants_bf16(backbone.precision, device)
    if bf16 and family_of(backbone.vit).kernel(backbone.vit).dtype == torch.float32:
        cast_frozen_weights(backbone.vit)
    return bf16


def autocast(
    precision: Precision, device: torch.device, *, bf16: bool
) -> contextlib.AbstractContextManager[Any]:
    """Compute in bfloat16 or not; "auto" without it leaves the caller's own autocast on."""
    if precision == "auto" and not bf16:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


@functools.cache
def _has_bf16(device: torch.device) -> bool:
    # torch.cuda.is_bf16_supported counts slow emulation on older GPUs.
    return torch.cuda.get_device_capability(device) >= (8, 0)


def cast_frozen_weights(module: nn.Module) -> None:
    """Store the frozen weights of linear layers and convolutions in bfloat16.

    Autocast would convert them in every pass, to the same values; here it is once, and they take
    half the memory. Norms, LayerScale, positions and the residual stream stay in float32.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            for parameter in layer.parameters(recurse=False):
                if not parameter.requires_grad:
                    parameter.data = parameter.data.bfloat16()
