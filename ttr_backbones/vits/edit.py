"""The edit of one block's hidden activations: Algorithm 2 of arXiv 2506.08010 and its variants.

Pure functions of tensors, free of Python branching on their values: every image of a batch is
edited by itself, without a host-device synchronisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Peak = Literal["neuron", "layer"]
Fill = Literal["zero", "mean", "only_outliers", "same"]


def move_activations(
    hidden: Tensor,
    units: Tensor,
    rows: Tensor,
    gain: Tensor,
    *,
    first_patch: int,
    peak: Peak = "neuron",
    keep_cls: bool | int = False,
    fill: Fill = "zero",
) -> Tensor:
    """Move the register neurons' activations to the tokens `rows`, away from all other tokens.

    Args:
        hidden: input of the MLP's second linear layer, [B, N, D].
        units: the K register neurons of this block, int64 [K].
        rows: the R tokens that receive the activations, int64 [R]; R = 0 only clears the others.
        gain: factor per receiving token and neuron, [R, K].
        first_patch: index of the first patch token; `mean` and `only_outliers` average patches.
        peak: what moves, see `PEAKS`.
        keep_cls: leave token 0, or that many of the first tokens, as they are.
        fill: what stays behind at the other tokens, see `FILLS`.

    Returns:
        A new tensor [B, N, D]; all other units keep their values exactly.
    """
    values = hidden.index_select(2, units)  # [B, N, K]
    left = _left(values, first_patch, keep_cls, fill)
    moved = PEAKS[peak](values) * gain.to(values.dtype)  # [B, 1, K] * [R, K]
    return hidden.index_copy(2, units, left.index_copy(1, rows, moved))


def move_to_patches(
    hidden: Tensor,
    units: Tensor,
    receivers: Tensor,
    gain: Tensor,
    *,
    first_patch: int,
    peak: Peak = "neuron",
    keep_cls: bool | int = False,
    fill: Fill = "zero",
) -> Tensor:
    """Move the register neurons' activations to tokens that differ from image to image.

    Args:
        hidden: as for `move_activations`, and so are `units` and the options.
        units: int64 [K].
        receivers: the tokens of each image that receive the activations, bool [B, N]; an image
            without any stays as it is.
        gain: factor per neuron, [1, K].
        first_patch: index of the first patch token.
        peak: see `PEAKS`.
        keep_cls: leave that many of the first tokens as they are.
        fill: see `FILLS`.

    Returns:
        A new tensor [B, N, D]; all other units keep their values exactly.
    """
    values = hidden.index_select(2, units)  # [B, N, K]
    left = _left(values, first_patch, keep_cls, fill)
    moved = PEAKS[peak](values) * gain.to(values.dtype)
    edited = torch.where(receivers[:, :, None], moved, left)
    any_receives = receivers.any(dim=1)[:, None, None]
    return hidden.index_copy(2, units, torch.where(any_receives, edited, values))


def _left(values: Tensor, first_patch: int, keep_cls: bool | int, fill: Fill) -> Tensor:
    """What tokens that receive nothing are left with, [B, N, K]."""
    left = FILLS[fill](values, first_patch)
    if not keep_cls:
        return left
    return torch.cat([values[:, : int(keep_cls)], left[:, int(keep_cls) :]], dim=1)


def _peak_neuron(values: Tensor) -> Tensor:
    where = values.abs().argmax(dim=1, keepdim=True)
    return values.gather(1, where)


def _peak_layer(values: Tensor) -> Tensor:
    flat = values.flatten(1)
    where = flat.abs().argmax(dim=1, keepdim=True)
    return flat.gather(1, where).unsqueeze(2).expand(-1, -1, values.shape[2])


def _fill_zero(values: Tensor, first_patch: int) -> Tensor:
    del first_patch
    return torch.zeros_like(values)


def _fill_mean(values: Tensor, first_patch: int) -> Tensor:
    return values[:, first_patch:].mean(dim=1, keepdim=True).expand_as(values)


def _fill_only_outliers(values: Tensor, first_patch: int) -> Tensor:
    std, mean = torch.std_mean(values[:, first_patch:], dim=1, keepdim=True)
    return torch.where(values > mean + std, mean, values)


def _fill_same(values: Tensor, first_patch: int) -> Tensor:
    del first_patch
    return values


PEAKS: dict[str, Callable[[Tensor], Tensor]] = {
    "neuron": _peak_neuron,
    "layer": _peak_layer,
}
"""values [B, N, K] -> [B, 1, K].

`neuron`: each neuron's value of largest magnitude over all tokens, sign kept (Algorithm 2; the
sign matters in gated MLPs, whose units can be strongly negative).
`layer`: one value for all neurons of the block, the largest-magnitude one over all of them and all
tokens (what the authors' released hub code does).
"""

FILLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "zero": _fill_zero,
    "mean": _fill_mean,
    "only_outliers": _fill_only_outliers,
    "same": _fill_same,
}
"""values [B, N, K], first patch -> [B, N, K], the values that the other tokens are left with.

`zero`: nothing. `mean`: the mean over the patches. `only_outliers`: that mean where a value is more
than one standard deviation above it, else the value. `same`: the values themselves.
"""
