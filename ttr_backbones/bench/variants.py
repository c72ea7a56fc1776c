"""The ways to run a model: eager or compiled, fp32 or bf16, channels first or last."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.errors import InputError, unknown_name


@dataclass(frozen=True)
class Variant:
    """One way to run a model.

    Args:
        name: as in the table and in `--variants`.
        compiled: by torch.compile, the shape fixed.
        bf16: autocast to bfloat16, the weights of linear layers and convolutions stored in it.
        channels_last: images and the weights of convolutions in that order.
    """

    name: str
    compiled: bool = False
    bf16: bool = False
    channels_last: bool = False

    @property
    def number(self) -> str:
        """In which numbers the matrix products are."""
        return "bf16" if self.bf16 else "fp32"

    def images(self, images: Tensor) -> Tensor:
        """Bring images [B, 3, H, W] into this variant's order."""
        if not self.channels_last:
            return images
        return images.contiguous(memory_format=torch.channels_last)

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """What a model runs in that does not see to its numbers itself."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("eager"),
        Variant("compiled", compiled=True),
        Variant("bf16", bf16=True),
        Variant("compiled-bf16", compiled=True, bf16=True),
        Variant("channels-last", channels_last=True),
    )
}


def choose_variants(names: list[str]) -> list[Variant]:
    """Return the variants of these names.

    Raises:
        InputError: no such variant, or none.
    """
    if not names:
        raise InputError(f"no variant given: expected some of {', '.join(VARIANTS)}")
    for name in names:
        if name not in VARIANTS:
            raise InputError(unknown_name("variant", name, VARIANTS))
    return [VARIANTS[name] for name in dict.fromkeys(names)]
