"""A small ViT with *planted* register neurons: real outliers, made on purpose, on a random model.

Large pretrained ViTs grow neurons that fire on low-information patches and write a huge norm there
(arXiv 2506.08010). Such a checkpoint cannot be had without a network, so the demo builds the
mechanism into a random ViT: what was planted is known exactly, and so is what the model was before.
"""

from __future__ import annotations

import copy

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.backbones import create_vit
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.reader import Site, reading

MODEL = "vit_tiny_patch16_224"
SIZE, PATCH = 160, 16
MODEL_KWARGS = {"img_size": SIZE, "embed_dim": 96, "depth": 6, "num_heads": 3}
BLOCK, UNITS = 2, [100, 200]
NORM = 120.0
OUTLIER_NORM = NORM / 2  # at the last block; a patch above it counts as an outlier
PLAIN_STD = 3.0  # on a 0..255 scale; a patch whose pixels vary less than this is plain
STEP = 10.0  # activation at which the pair saturates
SHARPNESS = 50.0  # steps per standard deviation of the pair's input: few patches lie in between


def build_vit(seed: int) -> VisionTransformer:
    """Return the demo's random ViT: 6 blocks, 96 channels, images of 160 px."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create_vit(MODEL, model_kwargs=MODEL_KWARGS)


def plant_register_neurons(
    vit: VisionTransformer, images: Tensor, *, fraction: float = 0.08
) -> tuple[VisionTransformer, RegisterNeurons]:
    """Plant a pair of MLP units that fires on the most background-like patches.

    Both units look along the direction that tells plain patches from others in the MLP's own input.
    The second fires one `STEP` later and writes the opposite, so that together they saturate: a
    patch gets a norm of `NORM` or nothing, as in real models, whose outliers are bimodal.

    Args:
        vit: the model before planting; left as it is.
        images: calibration images, normalised, [B, 3, H, W].
        fraction: share of the calibration patches on which the pair fires.

    Returns:
        A copy of `vit` that differs in the two units only, and the list of these two units.

    Raises:
        InputError: `fraction` is not within (0, 0.5), or the images hold only plain patches or
            none.
    """
    if not 0 < fraction < 0.5:
        raise InputError(
            f"fraction of outlier patches: expected a value in (0, 0.5), got {fraction}"
        )
    tokens = mlp_input(vit, images, BLOCK)  # [B, N, C]
    direction = plain_direction(tokens[:, 1:].flatten(0, 1), plain_patches(images).flatten())
    drive = tokens @ direction  # [B, N], of unit variance over the patches
    threshold = drive[:, 1:].flatten().quantile(1 - fraction)

    planted = copy.deepcopy(vit)
    family = family_of(planted)
    mlp = family.mlp(family.blocks(planted)[BLOCK])
    generator = torch.Generator().manual_seed(0)
    written = F.normalize(torch.randn(vit.embed_dim, generator=generator), dim=0) * (NORM / STEP)
    gain = STEP * SHARPNESS
    with torch.no_grad():
        for unit, delay, sign in zip(UNITS, (0.0, STEP), (1, -1), strict=True):
            mlp.fc1.weight[unit] = gain * direction
            mlp.fc1.bias[unit] = -gain * threshold - delay
            mlp.fc2.weight[:, unit] = sign * written
    return planted, RegisterNeurons(model=MODEL, layers={BLOCK: UNITS})


@torch.no_grad()
def mlp_input(vit: VisionTransformer, images: Tensor, block: int) -> Tensor:
    """Return what the MLP of `block` reads, [B, 3, H, W] -> [B, N, C], CLS first."""
    seen: list[Tensor] = []
    with reading(vit, {Site(block, "mlp"): seen.append}):
        family_of(vit).final_tokens(vit, images)
    return seen[0]


def plain_patches(images: Tensor) -> Tensor:
    """Mark the patches of almost one colour, [B, 3, H, W] (normalised) -> bool [B, N]."""
    cells = F.unfold(images, PATCH, stride=PATCH).unflatten(1, (3, -1))  # [B, 3, P * P, N]
    return (cells.std(dim=2) * 127.5).amax(dim=1) < PLAIN_STD


def plain_direction(tokens: Tensor, plain: Tensor) -> Tensor:
    """Ridge regression of `plain` [M] on `tokens` [M, C] -> [C], scaled to unit variance."""
    if plain.all() or not plain.any():
        raise InputError(
            f"{int(plain.sum())} of {len(plain)} calibration patches are plain: expected some that "
            "are and some that are not; pass more or other images"
        )
    centred = tokens - tokens.mean(dim=0)
    target = plain.to(tokens.dtype) - plain.to(tokens.dtype).mean()
    covariance = centred.T @ centred / len(tokens)
    ridge = 1e-3 * covariance.diagonal().mean() * torch.eye(len(covariance))
    direction = torch.linalg.solve(covariance + ridge, centred.T @ target / len(tokens))
    return direction / (centred @ direction).std()
