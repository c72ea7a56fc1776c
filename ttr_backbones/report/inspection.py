"""Look into a ViT: norms of every token after every block, CLS attention, features, neurons.

Everything is read while one image at a time runs through the model, so what is held is
one forward pass and the small maps below, at every input size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.registers import num_inner_prefix_tokens, token_norms
from ttr_backbones.repairs import describe_repair, repair_of
from ttr_backbones.report.columns import column_key
from ttr_backbones.vits.attention import cls_attention
from ttr_backbones.vits.family import family_of, naming_block
from ttr_backbones.vits.neurons import mlp_width
from ttr_backbones.vits.reader import Site, reading


@dataclass(frozen=True)
class Inspection:
    """One model, with one kind of registers, on B images: h x w patches, L blocks, H heads.

    All tensors are float32 on the CPU; norms are L2 norms of raw block outputs.

    Args:
        registers: key of what the model has (`report.columns`).
        num_registers: how many registers its repair has, in whatever form.
        norms: patch norms, [L, B, h, w].
        cls_norms: norms of the CLS token, [L, B]; None without one.
        register_norms: norms of the registers, trained ones first, [L, B, R]; None without any.
        attention: 0-based block -> softmax weights from CLS to the patches, [B, H, h, w]; empty
            without a CLS token.
        features: patches of the last block after the final norm, [B, C, h, w].
        activations: (block, unit) -> the neuron at the patches, [B, h, w]; of an edited
            block as it is before the edit.
    """

    registers: str
    num_registers: int
    norms: Tensor
    cls_norms: Tensor | None
    register_norms: Tensor | None
    attention: dict[int, Tensor]
    features: Tensor
    activations: dict[tuple[int, int], Tensor]

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per column and per row, (h, w)."""
        return self.norms.shape[2], self.norms.shape[3]

    def first(self, count: int) -> Inspection:
        """The same of the first `count` images."""
        cls, registers = self.cls_norms, self.register_norms
        return replace(
            self,
            norms=self.norms[:, :count],
            cls_norms=None if cls is None else cls[:, :count],
            register_norms=None if registers is None else registers[:, :count],
            attention={block: maps[:count] for block, maps in self.attention.items()},
            features=self.features[:count],
            activations={pair: maps[:count] for pair, maps in self.activations.items()},
        )


@torch.no_grad()
def inspect_model(
    vit: nn.Module,
    images: Tensor,
    *,
    attention_blocks: Sequence[int] = (-1,),
    neurons: Sequence[tuple[int, int]] = (),
    progress: Callable[[int, int | None], None] | None = None,
) -> Inspection:
    """Run `vit`, as it is, on normalised images and note what `Inspection` has.

    Args:
        vit: a timm ViT in eval mode, with or without registers.
        images: [B, 3, H, W].
        attention_blocks: blocks whose CLS attention is recomputed; negative ones count back.
        neurons: (block, unit) pairs whose activations are noted.
        progress: called with (images done, images in all) after every image.

    Raises:
        InputError: no images, no such block or unit, or a block without timm's standard attention.
    """
    if images.ndim != 4 or not len(images):
        raise InputError(f"expected images [B, 3, H, W] with B > 0, got {tuple(images.shape)}")
    blocks = attention_block_indices(vit, attention_blocks)
    check_neurons(vit, neurons)
    family = family_of(vit)
    grid = family.facts(vit).grid_of((images.shape[2], images.shape[3]))
    layout, depth = family.layout(vit, grid), len(family.blocks(vit))
    parts: list[dict[Any, Tensor]] = []
    for image in images.split(1):
        with _noting(vit, blocks, neurons, grid) as noted:
            final = family.final_tokens(vit, image)
        noted["features"] = final[:, layout.num_prefix :].transpose(1, 2)
        parts.append({key: value.float().cpu() for key, value in noted.items()})
        if progress is not None:
            progress(len(parts), len(images))
    whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    norms = torch.stack([whole["norms", block] for block in range(depth)])  # [L, B, N]
    prefix, patches = norms.split([layout.first_patch, grid[0] * grid[1]], dim=2)
    num_cls = layout.num_cls
    return Inspection(
        registers=registers_of(vit),
        num_registers=(describe_repair(vit) or {}).get("num", 0),
        norms=patches.unflatten(2, grid),
        cls_norms=prefix[:, :, 0] if num_cls else None,
        register_norms=prefix[:, :, num_cls:] if prefix.shape[2] > num_cls else None,
        attention={block: whole["attention", block].unflatten(2, grid) for block in blocks},
        features=whole["features"].unflatten(2, grid),
        activations={pair: whole["neuron", pair].unflatten(1, grid) for pair in neurons},
    )


def registers_of(vit: nn.Module) -> str:
    """Return the key of what a timm ViT has (`report.columns`)."""
    trained = family_of(vit).layout(vit).num_trained > 0
    repair = repair_of(vit)
    return column_key(None if repair is None else repair.type, trained=trained)


def attention_block_indices(vit: nn.Module, blocks: Sequence[int]) -> list[int]:
    """0-based indices of `blocks`, in order and each once; none for a model without a CLS token.

    Raises:
        InputError: no such block, or its attention is none that can be recomputed.
    """
    family = family_of(vit)
    depth = len(family.blocks(vit))
    for block in blocks:
        if not -depth <= block < depth:
            raise InputError(
                f"there is no block {block}: the model has blocks 0..{depth - 1} (or -{depth}..-1)"
            )
        with naming_block(block % depth):
            family.attention(family.blocks(vit)[block])
    return sorted({block % depth for block in blocks}) if family.layout(vit).num_cls else []


def check_neurons(vit: nn.Module, neurons: Sequence[tuple[int, int]]) -> None:
    """Raise InputError unless every (block, unit) exists in `vit`."""
    depth = len(family_of(vit).blocks(vit))
    for block, unit in neurons:
        if not 0 <= block < depth or not 0 <= unit < mlp_width(vit, block):
            width = mlp_width(vit, block) if 0 <= block < depth else mlp_width(vit, 0)
            raise InputError(
                f"there is no neuron {block}:{unit}: the model has blocks 0..{depth - 1} "
                f"with units 0..{width - 1}"
            )


@contextmanager
def _noting(
    vit: nn.Module,
    blocks: Sequence[int],
    neurons: Sequence[tuple[int, int]],
    grid: tuple[int, int],
) -> Iterator[dict[Any, Tensor]]:
    """Note norms ("norms", block), ("attention", block) and ("neuron", (block, unit)) of a pass."""
    noted: dict[Any, Tensor] = {}
    first = num_inner_prefix_tokens(vit)

    def note_norms(block: int, tokens: Tensor) -> None:
        noted["norms", block] = token_norms(tokens)

    def note_attention(block: int, tokens: Tensor) -> None:
        noted["attention", block] = cls_attention(vit, block, tokens, grid)

    def note_neurons(block: int, units: list[int], hidden: Tensor) -> None:
        for unit in units:
            noted["neuron", (block, unit)] = hidden[:, first:, unit].clone()

    listed = {block: [u for b, u in neurons if b == block] for block, _ in neurons}
    sites: dict[Site, Callable[[Tensor], None]] = {
        **{
            Site(b, "output"): partial(note_norms, b)
            for b in range(len(family_of(vit).blocks(vit)))
        },
        **{Site(b, "attention"): partial(note_attention, b) for b in blocks},
        **{Site(b, "hidden"): partial(note_neurons, b, units) for b, units in listed.items()},
    }
    with reading(vit, sites):
        yield noted
