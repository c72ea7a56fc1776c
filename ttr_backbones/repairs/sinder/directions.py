"""Defect directions of a ViT's blocks (SINDER, arXiv 2407.16826)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.onset import find_onset
from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.repairs.sinder.linear_block import linear_block
from ttr_backbones.vits.family import family_of, naming_block

Kind = Literal["product", "block"]
Direction = Literal["product", "block", "empirical", "random"]


def singular_defect_directions(vit: nn.Module, kind: Kind = "product") -> Tensor:
    """First left singular vector of the linear maps of the blocks.

    Args:
        vit: a model whose blocks can be taken apart (`Family.parts`).
        kind: of the product of all blocks up to each, as published; or of each "block" alone, which
            is right where outliers are written by one block and not grown by many.

    Returns:
        Unit vectors [blocks, C], float32 on the CPU; the largest entry of each is positive, as
        their sign means nothing.

    Raises:
        InputError: no such kind, or a block that has no linear map.
    """
    if kind not in get_args(Kind):
        raise InputError(unknown_name("kind of direction", str(kind), get_args(Kind)))
    family = family_of(vit)
    found, product = [], None
    for index, block in enumerate(family.blocks(vit)):
        with naming_block(index):
            matrix = linear_block(family.parts(block))
        if kind == "product":
            matrix = matrix if product is None else matrix @ product
            product = matrix = matrix / torch.linalg.matrix_norm(matrix)  # many grow without end
        # The left singular vectors are the eigenvectors of this, the last one that of the largest.
        _, vectors = torch.linalg.eigh(matrix @ matrix.T)
        found.append(_with_sign(vectors[:, -1]))
    return torch.stack(found).float()


def defect_directions(
    vit: nn.Module, direction: Direction, images: ImageBatches, *, seed: int = 0
) -> Tensor:
    """Directions after every block, by one of four ways.

    Args:
        vit: the model.
        direction: "product" or "block" of `singular_defect_directions`; "empirical", the mean
            direction of outliers, found by their norms; "random", the control.
        images: for "empirical", read twice or more.
        seed: of "random".

    Returns:
        Unit vectors [blocks, C] on the CPU; zeros after blocks before the outliers appear.

    Raises:
        InputError: no such way; see `singular_defect_directions`.
        NoOutliersError: "empirical" on images without outliers.
    """
    if direction in get_args(Kind):
        return singular_defect_directions(vit, direction)  # type: ignore[arg-type]
    if direction == "empirical":
        return outlier_directions(vit, images)
    if direction == "random":
        depth, channels = len(family_of(vit).blocks(vit)), family_of(vit).facts(vit).channels
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(depth, channels, generator=generator)
        return nn.functional.normalize(drawn, dim=1)
    raise InputError(unknown_name("direction", str(direction), get_args(Direction)))


@torch.no_grad()
def outlier_directions(vit: nn.Module, images: ImageBatches) -> Tensor:
    """Mean direction of the outliers after every block from the one on that they appear after.

    An outlier is a patch whose norm after the block is above the threshold of `find_onset`.

    Returns:
        Unit vectors [blocks, C] on the CPU; zeros after earlier blocks.

    Raises:
        NoOutliersError: there are none on these images.
    """
    images.require_reiterable("the mean direction of outliers")
    family, onset = family_of(vit), find_onset(vit, images)
    blocks = range(onset.first, len(family.blocks(vit)))
    sums = torch.zeros(len(family.blocks(vit)), family.facts(vit).channels, dtype=torch.float64)
    sums = sums.to(next(vit.parameters()).device)
    for batch in images:
        _, taken = family.run(vit, batch, list(blocks), norm=False)
        for block, tokens in zip(blocks, taken, strict=True):
            norms = token_norms(tokens.patches)
            outliers = (norms > onset.threshold)[..., None]
            unit = tokens.patches.double() / norms[..., None]
            sums[block] += torch.where(outliers, unit, 0).sum(dim=(0, 1))
    return nn.functional.normalize(sums, dim=1).float().cpu()


def _with_sign(vector: Tensor) -> Tensor:
    return vector * vector[vector.abs().argmax()].sign()
