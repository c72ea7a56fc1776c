"""The sizes that the steps run with: real ones on a GPU, tiny ones to rehearse on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ttr_backbones.bench.benched_vit import BenchedVit

_TINY_VIT = {"img_size": 64, "depth": 2, "embed_dim": 64, "num_heads": 2, "init_values": 1.0}


@dataclass(frozen=True)
class Scale:
    """Sizes.

    Args:
        base: timm name of the ViT that most steps run.
        large: timm name of the larger one.
        model_kwargs: more arguments of `timm.create_model` for both.
        sizes: sides of the images in pixels, the smaller and the larger.
        timed: those of them at which a register is timed.
        batches: images at a time, the most telling number first.
        rounds: of a measurement.
        images: that the search and LOST are given.
        classes: of the heads.
        matrix_sides: of the matrix products; None is what the bench takes.
        trained_size: side in pixels of the images that are trained on.
    """

    base: str = "vit_base_patch14_dinov2"
    large: str = "vit_large_patch14_dinov2"
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[int, int] = (224, 518)
    timed: tuple[int, ...] = (224, 518)
    batches: tuple[int, ...] = (8, 1, 64)
    rounds: int = 7
    images: int = 32
    classes: int = 150
    matrix_sides: tuple[int, ...] | None = None
    trained_size: int = 224

    def benched(self, model: str) -> BenchedVit:
        """The ViT of a timm name, with random weights."""
        return BenchedVit(model, model_kwargs=self.model_kwargs)


REAL = Scale()
TINY = Scale(
    base="vit_tiny_patch16_224",
    large="vit_tiny_patch16_224",
    model_kwargs=_TINY_VIT,
    sizes=(64, 96),
    timed=(64,),
    batches=(8, 1),
    rounds=1,
    images=4,
    classes=8,
    matrix_sides=(64,),
    trained_size=64,
)
