"""Intermediate features of a ViT: maps of chosen blocks, CLS and the pooled embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.grid_argument import grid_argument
from ttr_backbones.vits.image_transform import ImageTransform, inner_images, outer_tokens
from ttr_backbones.vits.pos_embed import Positions
from ttr_backbones.vits.register_tokens import drop_registers, num_inner_prefix_tokens
from ttr_backbones.vits.tokens import Grid

Facet = Literal["token", "query", "key", "value"]


def block_indices(indices: Sequence[int], depth: int, name: str = "out_indices") -> tuple[int, ...]:
    """Count the blocks of a model with `depth` of them from 0; negative indices count back.

    Raises:
        InputError: no list, or no such block; the message calls them `name`.
    """
    if isinstance(indices, int) or not indices:
        raise InputError(f"{name}={indices!r}: expected a list of block indices")
    for index in indices:
        if not -depth <= index < depth:
            raise InputError(
                f"{name} names block {index}, the model has blocks 0..{depth - 1} (or -{depth}..-1)"
            )
    return tuple(index % depth for index in indices)


class Tap(NamedTuple):
    """One map to take: of which block, counted from 0, which facet, and normed or not.

    `norm` is the model's final LayerNorm; it applies to tokens only.
    """

    block: int
    facet: Facet = "token"
    norm: bool = False


class Features(NamedTuple):
    """Features of a batch of images; test-time registers are in none of them.

    Args:
        maps: one [B, C, h, w] per block taken.
        cls: the CLS token after the last block and the final norm, [B, C]; None without one.
        pooled: the embedding by the model's own pooling, and its projection if it has one, [B, E];
            None for a model that does not pool.
    """

    maps: tuple[Tensor, ...]
    cls: Tensor | None
    pooled: Tensor | None


def tapped_maps(
    vit: Any, images: Tensor, positions: Positions, taps: Sequence[Tap], *, with_cls: bool
) -> list[Tensor]:
    """Run the blocks that the taps need, and no further.

    Args:
        vit: the model.
        images: [B, 3, H, W], H and W multiples of the patch.
        positions: of `positions_of` for their grid.
        taps: what to take.
        with_cls: append the CLS token of the same block to every patch (tokens only).

    Returns:
        One map [B, C, h, w] per tap.
    """
    taken, grid = tapped_sequences(vit, images, positions, taps)
    return _maps(vit, taken, grid, taps, with_cls=with_cls)


def tapped_features(
    vit: Any, images: Tensor, positions: Positions, taps: Sequence[Tap], *, with_cls: bool
) -> Features:
    """Run all blocks once, for the maps of `tapped_maps` and what the model says of the image."""
    family = family_of(vit)
    last = Tap(len(family.blocks(vit)) - 1, "token", norm=True)
    taken, grid = tapped_sequences(vit, images, positions, [*taps, last])
    tokens = drop_registers(vit, taken[last])
    cls = tokens[:, 0] if family.layout(vit).num_cls else None
    maps = _maps(vit, taken, grid, taps, with_cls=with_cls)
    return Features(tuple(maps), cls, family.pool(vit, tokens))


def _maps(
    vit: Any, taken: dict[Tap, Tensor], grid: Grid, taps: Sequence[Tap], *, with_cls: bool
) -> list[Tensor]:
    first = num_inner_prefix_tokens(vit)
    return [_to_map(taken[tap], first, grid, with_cls and tap.facet == "token") for tap in taps]


def tapped_sequences(
    vit: Any, images: Tensor, positions: Positions, taps: Sequence[Tap]
) -> tuple[dict[Tap, Tensor], Grid]:
    """Give the sequences [B, N, C] that the taps name, and the grid of their patches."""
    family = family_of(vit)
    patches = family.patches(vit, inner_images(vit, images))
    grid = (patches.shape[1], patches.shape[2])
    tokens = family.embed(vit, patches, positions.table)
    taken: dict[Tap, Tensor] = {}
    last = max(tap.block for tap in taps)
    for index, block in enumerate(family.blocks(vit)[: last + 1]):
        here = [tap for tap in taps if tap.block == index]
        if any(tap.facet != "token" for tap in here):
            qkv = family.qkv(block, family.attention_input(block, tokens))
            taken |= {tap: getattr(qkv, tap.facet) for tap in here if tap.facet != "token"}
        if index == last and all(tap.facet != "token" for tap in here):
            break
        options = grid_argument(block, grid)
        tokens = family.run_block(vit, index, tokens, positions.rotation, **options)
        of_tokens = [tap for tap in here if tap.facet == "token"]
        taken.update(  # torch 2.6 compiles no |= of dictionaries
            {tap: family.final_norm(vit, tokens) if tap.norm else tokens for tap in of_tokens}
        )
    if isinstance(vit, ImageTransform):
        taken = {tap: outer_tokens(vit, tokens) for tap, tokens in taken.items()}
        grid = vit.outer_grid
    return taken, grid


def _to_map(tokens: Tensor, first: int, grid: Grid, with_cls: bool) -> Tensor:
    """[B, N, C] -> [B, C, h, w] of the patches, the first of which is token `first`."""
    patches = tokens[:, first:]
    if with_cls:
        patches = torch.cat([patches, tokens[:, :1].expand_as(patches)], dim=2)
    return patches.transpose(1, 2).unflatten(2, grid)
