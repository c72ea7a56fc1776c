"""The contestants of `ttrb bench forward`: one ViT, as it is and with every repair.

All have the same weights and give the same thing, the normed patch tokens of the last block as maps
[B, C, h, w] in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Mlp
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones.precision import cast_frozen_weights
from ttr_backbones.bench.authors_form import AuthorsForm
from ttr_backbones.bench.variants import Variant
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import REPAIRS, apply_repair, example_artifact
from ttr_backbones.repairs.from_config import DEFAULT
from ttr_backbones.vits.class_swap import sharing_copy
from ttr_backbones.vits.family import family_of


def repaired(kind: str) -> str:
    """Return the contestant's name of a type of repair."""
    return f"ours, {REPAIRS[kind].label}"


PLAIN, BARE, AUTHORS = "plain timm", "ours, no repair", "authors' form of the hook"
TOKEN = repaired(DEFAULT)


class PlainTimm(nn.Module):
    """A timm ViT in as few steps as it takes to have the same maps."""

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit
        self.num_prefix = family_of(vit).num_prefix(vit)
        self.patch = family_of(vit).facts(vit).patch_size

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, h, w]."""
        vit: Any = self.vit
        patches = vit.forward_features(images)[:, self.num_prefix :]
        grid = (images.shape[2] // self.patch[0], images.shape[3] // self.patch[1])
        return patches.transpose(1, 2).unflatten(2, grid)


class Wrapped(nn.Module):
    """A frozen model that leaves numbers and compiling to its caller, run as a variant asks.

    Args:
        model: [B, 3, H, W] -> [B, C, h, w].
        variant: how to run it.
        inference: give tensors that no head can be trained on, and keep no books for it.
    """

    def __init__(self, model: nn.Module, variant: Variant, *, inference: bool = True) -> None:
        super().__init__()
        self.variant, self.inference = variant, inference
        if variant.bf16:
            cast_frozen_weights(model)
        self.model = model
        self.call = torch.compile(model, dynamic=False) if variant.compiled else model

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, h, w]."""
        without_gradient = torch.inference_mode() if self.inference else torch.no_grad()
        with without_gradient, self.variant.autocast(images.device):
            maps: Tensor = self.call(images)
            return maps.float()


class Ours(nn.Module):
    """A `TimmViT` that gives its one map itself."""

    def __init__(self, backbone: TimmViT, variant: Variant) -> None:
        super().__init__()
        backbone.precision = "bf16" if variant.bf16 else "fp32"
        backbone.compiled = variant.compiled
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, h, w]."""
        (maps,) = self.backbone(images)
        return maps


def make_contestants(
    backbone: TimmViT,
    neurons: RegisterNeurons,
    images: Tensor,
    left_out: dict[str, str] | None = None,
) -> dict[str, nn.Module]:
    """Make the contestants, which share the weights of `backbone`.

    Args:
        backbone: without registers; it stays as it is.
        neurons: register neurons, moved as the options of their list say; the authors' form has
            an edit of its own.
        images: to fit the repairs on, [B, 3, H, W].
        left_out: gets, by name, why a contestant cannot have those options; without, the first
            such error is raised.

    Returns:
        {name: model}; without the authors' form where MLPs are gated or positions turn queries and
        keys: their hook does not fit.
    """
    made: dict[str, nn.Module] = {PLAIN: PlainTimm(backbone.vit), BARE: backbone}
    for kind in sorted(REPAIRS, key=lambda kind: kind != DEFAULT):
        name, copied = repaired(kind), sharing_copy(backbone)
        try:
            artifact = example_artifact(kind, copied.vit, images, neurons)
        except InputError as error:
            if left_out is None or not neurons.recorded_options:
                raise
            left_out[name] = str(error)
            continue
        made[name] = copied
        apply_repair(copied.vit, artifact)
    family = family_of(backbone.vit)
    mlps = [family.mlp(block) for block in family.blocks(backbone.vit)]
    plain = isinstance(backbone.vit, VisionTransformer)
    if plain and all(isinstance(mlp, Mlp) for mlp in mlps):
        made[AUTHORS] = AuthorsForm(sharing_copy(backbone.vit), neurons.layers)
    return made


def as_variant(model: nn.Module, variant: Variant) -> nn.Module:
    """Copy a contestant into the form that runs as `variant`: [B, 3, H, W] -> [B, C, h, w]."""
    copied = sharing_copy(model, lambda weight: _shared(weight, variant))
    if variant.channels_last:
        copied = copied.to(memory_format=torch.channels_last)
    return Ours(copied, variant) if isinstance(copied, TimmViT) else Wrapped(copied, variant)


def _shared(weight: Tensor, variant: Variant) -> bool:
    """Whether a variant can use the very weights that all use."""
    return not variant.bf16 and not (variant.channels_last and weight.ndim == 4)
