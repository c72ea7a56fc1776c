"""Single tokens of an image: CLS, one patch, the mean of all, a register."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.pos_embed import Positions
from ttr_backbones.vits.register_tokens import drop_registers, split_tokens
from ttr_backbones.vits.taps import Tap, tapped_sequences
from ttr_backbones.vits.tokens import Grid

TokenName = Literal["cls", "mean_patch", "central_patch", "outlier_patch", "register", "pooled"]
"""What may be taken of a block.

`central_patch` is that of row h // 2, column w // 2. `outlier_patch` is the patch of the largest
norm after the block before the last one, without the final norm, where DINOv2's outliers show
(arXiv 2506.08010, A.12); which of the blocks' outputs is taken of it is the tap's. `register` is
the first test-time register, or of a model without one its first trained register. `pooled` is the
embedding by the model's own pooling with its projection, after the last block and the final norm.
"""


def tapped_tokens(names: Sequence[TokenName]) -> Callable[..., list[Tensor]]:
    """Return a function as `taps.tapped_maps` that gives tokens of each tap instead.

    Args:
        names: what to take of every tap.

    Returns:
        A function of model, images, positions and taps -> [B, C, 1, 1] for each name of the first
        tap, then of the second, ...; "pooled" has its own width E.

    Raises:
        InputError: no such token; the function, that the model or the tap has none.
    """
    for name in names:
        if name not in get_args(TokenName):
            raise InputError(unknown_name("token", name, get_args(TokenName)))
    return _taking(tuple(names))


@functools.cache  # a compiler keeps what it has made by the function
def _taking(names: tuple[TokenName, ...]) -> Callable[..., list[Tensor]]:
    def take(
        vit: Any, images: Tensor, positions: Positions, taps: Sequence[Tap], *, with_cls: bool
    ) -> list[Tensor]:
        del with_cls
        depth = len(family_of(vit).blocks(vit))
        before_last = Tap(max(depth - 2, 0))
        more = [before_last] if "outlier_patch" in names else []
        taken, grid = tapped_sequences(vit, images, positions, [*taps, *more])
        outlier = None
        if more:
            norms = split_tokens(vit, taken[before_last]).patches.float().norm(dim=2)
            outlier = norms.argmax(dim=1)
        tokens = []
        for tap in taps:
            if "pooled" in names and tap != Tap(depth - 1, "token", norm=True):
                raise InputError(
                    f"the pooled embedding is made of the last block after the final norm, not of "
                    f"block {tap.block}{'' if tap.norm else ' before the norm'}: set "
                    "backbone.out_indices=(-1,) and final_norm=True"
                )
            tokens += [_token(vit, name, taken[tap], grid, outlier) for name in names]
        return [token[:, :, None, None] for token in tokens]

    return take


def _token(
    vit: Any, name: TokenName, sequence: Tensor, grid: Grid, outlier: Tensor | None
) -> Tensor:
    """Take one token [B, C] of a sequence from inside [B, N, C]."""
    prefix, registers, patches = split_tokens(vit, sequence)
    if name == "mean_patch":
        return patches.mean(dim=1)
    if name == "central_patch":
        return patches[:, (grid[0] // 2) * grid[1] + grid[1] // 2]
    if outlier is not None and name == "outlier_patch":
        return patches[torch.arange(len(patches), device=patches.device), outlier]
    if name == "pooled":
        pooled = family_of(vit).pool(vit, drop_registers(vit, sequence))
        if pooled is None:
            raise InputError("this model does not pool its tokens: take another token, as 'cls'")
        return pooled
    layout = family_of(vit).layout(vit)
    of_prefix = prefix[:, layout.cls if name == "cls" else layout.trained]
    found = registers if name == "register" and registers.shape[1] else of_prefix
    if not found.shape[1]:
        what = "CLS token" if name == "cls" else "register"
        raise InputError(
            f"this model has no {what}: take another token, as 'mean_patch'"
            + ("" if name == "cls" else ", or give it one (repair 'ttr')")
        )
    return found[:, 0]
