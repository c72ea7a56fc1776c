"""Small random ViTs that write outliers on bright patches, by units planted at known places."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer

NORM = 200.0  # what a planted unit writes; ordinary tokens have norms below 30
ACTIVATION = 10.0
PATCH, SIDE = 16, 96


@dataclass(frozen=True)
class Planted:
    vit: VisionTransformer
    images: torch.Tensor
    bright: torch.Tensor  # bool [B, N], the patches where the units fire
    neurons: list[tuple[int, int]]  # (block, unit), the earliest block first


@pytest.fixture(scope="session")
def planted(make_vit):
    """Make a `Planted`: places of the units (None draws `count` of them), MLP kind, CLS or not."""

    def make(seed=0, *, count=3, places=None, swiglu=False, cls=True, num_images=10, **kwargs):
        generator = torch.Generator().manual_seed(seed)
        options = {"img_size": SIDE} | kwargs
        if swiglu:
            options["mlp_layer"] = SwiGLUPacked
        if not cls:
            options |= {"class_token": False, "global_pool": "avg"}
        vit = make_vit(seed, **options)
        images, bright = bright_images(num_images, generator)
        if places is None:
            width = vit.blocks[0].mlp.fc2.in_features
            drawn = torch.randperm(len(vit.blocks) * width, generator=generator)[:count].tolist()
            places = sorted(divmod(flat, width) for flat in drawn)
        for block, unit in places:
            plant_unit(vit, block, unit, images, bright, generator, swiglu=swiglu)
        return Planted(vit, images, bright, places)

    return make


def bright_images(num_images, generator):
    """Noise with one to four bright patches; none in every fifth image."""
    grid = SIDE // PATCH
    images = torch.randn(num_images, 3, SIDE, SIDE, generator=generator) * 0.3
    bright = torch.zeros(num_images, grid * grid, dtype=torch.bool)
    for index in range(num_images):
        if index % 5 != 4:
            drawn = torch.randperm(grid * grid, generator=generator)
            bright[index, drawn[: 1 + index % 4]] = True
    on = bright.view(-1, 1, grid, grid).repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
    return images + 4.0 * on, bright


@pytest.fixture
def plant():
    """Let one more unit fire on marked patches."""
    return plant_unit


@torch.no_grad()
def plant_unit(vit, block, unit, images, bright, generator=None, *, swiglu=False):
    """Let `unit` fire by `ACTIVATION` or more on the bright patches and nowhere else.

    It looks along the direction that tells them from all other tokens, CLS included, in what its
    MLP reads, and is tuned to the middle between the two groups.
    """
    seen = []
    mlp = vit.blocks[block].mlp
    handle = mlp.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    vit.forward_features(images)
    handle.remove()
    on = torch.cat([bright.new_zeros(len(bright), vit.num_prefix_tokens), bright], dim=1)
    direction = seen[0][on].mean(dim=0) - seen[0][~on].mean(dim=0)
    drive = seen[0] @ direction
    low, high = drive[~on].max(), drive[on].min()
    assert low < high, "the bright patches cannot be told from the others"
    gain = 2 * ACTIVATION / (high - low)  # so the weakest bright patch gives ACTIVATION
    mlp.fc1.weight[unit] = gain * direction
    mlp.fc1.bias[unit] = -gain * (low + high) / 2
    if swiglu:  # the second half of fc1 is the value that the first half gates: here always -1
        mlp.fc1.weight[mlp.fc2.in_features + unit] = 0
        mlp.fc1.bias[mlp.fc2.in_features + unit] = -1
    generator = generator or torch.Generator().manual_seed(unit)
    written = torch.randn(vit.embed_dim, generator=generator)
    mlp.fc2.weight[:, unit] = written / written.norm() * (NORM / ACTIVATION)
