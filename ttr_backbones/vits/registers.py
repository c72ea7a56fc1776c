"""Add test-time registers to a timm ViT, as tokens.

The model keeps its parameters and its state dict. Two kinds of module change their class while
registers are on (`class_swap`): the ViT, which then has more tokens inside than outside
(`register_tokens`), and the MLP's second linear layer in the edited blocks (`edit_site`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.class_swap import check_plain, mix
from ttr_backbones.vits.edit import FILLS, PEAKS, Fill, Peak
from ttr_backbones.vits.edit_site import EditSite
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.image_patches import PER_IMAGE, ImagePatches, PerImage
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.tokens import TokenLayout


def add_test_time_registers(
    vit: nn.Module,
    neurons: RegisterNeurons | Mapping[int, list[int]],
    num: int = 1,
    peak: Peak = "neuron",
    keep_cls: bool | int = False,
    fill: Fill = "zero",
    scale: float | Sequence[float] = 1.0,
    *,
    positions: Sequence[int] | PerImage | None = None,
    share: torch.Generator | None = None,
) -> nn.Module:
    """Redirect the register neurons of `vit` to `num` untrained tokens (arXiv 2506.08010, 3.3).

    The registers are tokens of zeros after position embedding and before `norm_pre`, behind the
    model's own prefix (CLS, trained registers) and before the patches. Nothing that the model gives
    out holds one, and `num_prefix_tokens` does not count them: `register_tokens` reads them, and
    `split_tokens` takes apart what a hook on a block sees. The defaults are the paper's Algorithm
    2; `peak="layer", keep_cls=True` is what the authors' released code does.

    Args:
        vit: any timm VisionTransformer whose blocks have one standard MLP; changed in place.
        neurons: the list, or just {block: [unit, ...]}.
        num: number of registers; 0 adds none and only clears the neurons, the paper's control.
        peak: what moves: each neuron's own value of largest magnitude over all tokens, or one value
            for all neurons of the block (`edit.PEAKS`).
        keep_cls: leave the CLS token's activations as they are; a number leaves those of that many
            tokens of the prefix, for models with summaries among their trained registers (RADIO).
        fill: what stays at the other tokens: zero, mean, only_outliers, same (`edit.FILLS`).
        scale: factor on the moved value, one number or one per register.
        positions: flat (row-major) patch indices that receive the activations instead of registers,
            the paper's "shift to arbitrary positions" (3.2); then no token is added. "per_image":
            patches that each pass names for its images, by `patches_receive`.
        share: give every neuron to one register drawn from this generator (A.5) instead of to all.

    Returns:
        `vit`, ready to use at every batch and input size.

    Raises:
        InputError: not such a model, registers already on, an index out of range, or an option that
            does not exist.
    """
    _check(vit, num=num, peak=peak, fill=fill, keep_cls=keep_cls, positions=positions)
    patches = ImagePatches() if positions == PER_IMAGE else None
    if patches is not None and (share is not None or not isinstance(scale, int | float)):
        raise InputError(f"positions={PER_IMAGE!r} goes with one scale for all, and without share")
    if not isinstance(neurons, RegisterNeurons):
        neurons = RegisterNeurons("", neurons)
    neurons.check(vit)
    family = family_of(vit)
    first_patch = family.num_prefix(vit) + (num if positions is None else 0)
    rows = list(range(family.num_prefix(vit), first_patch))
    if positions is not None:
        rows = [] if patches else [first_patch + int(position) for position in positions]
    gain = _scales(scale, 1 if patches else len(rows))
    blocks = family.blocks(vit)
    for block, units in neurons.layers.items():
        site = family.second_linear(blocks[block])
        device = site.weight.device
        mix(site, EditSite)
        site.add_edit(
            units=torch.tensor(units, device=device),
            rows=torch.tensor(rows, dtype=torch.int64, device=device),
            gain=(gain * _assignment(len(gain), len(units), share)).to(device),
            options={"first_patch": first_patch, "peak": peak, "keep_cls": keep_cls, "fill": fill},
            patches=patches,
        )
    mix(vit, family.register_tokens)
    mixed: Any = vit
    mixed.set_num_registers(num if positions is None else 0)
    mixed.register_neurons = neurons
    if patches is not None:
        mixed.image_patches = patches
    return vit


def _check(vit: Any, *, num: Any, peak: Any, fill: Any, keep_cls: Any, positions: Any) -> None:
    check_plain(vit)
    family_of(vit).check(vit)
    if not isinstance(num, int) or isinstance(num, bool) or num < 0:
        raise InputError(f"num={num!r}: expected the number of registers, an integer >= 0")
    if peak not in PEAKS:
        raise InputError(unknown_name("peak", str(peak), PEAKS))
    if fill not in FILLS:
        raise InputError(unknown_name("fill", str(fill), FILLS))
    _check_kept(keep_cls, family_of(vit).layout(vit))
    if positions is not None:
        _check_positions(positions, num)


def _check_kept(keep_cls: Any, layout: TokenLayout) -> None:
    if keep_cls is True and not layout.num_cls:
        raise InputError("keep_cls=True, but this model has no CLS token")
    if not isinstance(keep_cls, int) or not 0 <= keep_cls <= layout.num_prefix:
        raise InputError(
            f"keep_cls={keep_cls!r}: expected True, False, or how many of the first tokens are "
            f"kept, 0 to {layout.num_prefix}: those of this model's prefix"
        )


def _check_positions(positions: Any, num: int) -> None:
    if num != 1:
        raise InputError(f"num={num} and positions={positions}: give registers or positions")
    if positions == PER_IMAGE:
        return
    if not positions or any(not isinstance(p, int) or p < 0 for p in positions):
        raise InputError(f"positions={positions!r}: expected flat patch indices, integers >= 0")
    if len(set(positions)) != len(positions):
        raise InputError(f"positions={positions!r}: the same patch is named twice")


def _scales(scale: float | Sequence[float], count: int) -> Tensor:
    """Factors per receiving token, [R, 1]."""
    scales = [scale] * count if isinstance(scale, int | float) else list(scale)
    if len(scales) != count:
        raise InputError(f"scale={scale!r}: expected one number, or {count}: one per register")
    if not all(map(math.isfinite, scales)):
        raise InputError(f"scale={scale!r}: expected finite numbers")
    return torch.tensor(scales, dtype=torch.float32).unsqueeze(1)


def _assignment(count: int, num_units: int, share: torch.Generator | None) -> Tensor:
    """Which receiving token gets which neuron, 1 or 0, [R, K]."""
    if share is None or count == 0:
        return torch.ones(count, num_units)
    owner = torch.randint(count, (num_units,), generator=share)
    return nn.functional.one_hot(owner, count).T.float()
