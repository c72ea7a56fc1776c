"""Measure once what a test-time register gives to attention, to have it as constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.images.finite import check_finite, naming_images
from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.neuron_search.provenance import creation_record
from ttr_backbones.repairs.baked import BakedRegisters
from ttr_backbones.vits.class_swap import restored_eval
from ttr_backbones.vits.constant_tokens import check_attention
from ttr_backbones.vits.edit import Peak
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.neurons import RegisterNeurons, model_name
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.registers import add_test_time_registers


def bake_registers(
    vit: nn.Module,
    neurons: RegisterNeurons | Mapping[int, list[int]],
    images: Tensor | str | Path | Iterable[Any] | ImageBatches,
    *,
    num: int = 1,
    peak: Peak = "neuron",
    scale: float | Sequence[float] = 1.0,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> BakedRegisters:
    """Average the key and value of the test-time registers over `images`, per head and block.

    The model runs with registers as tokens (`add_test_time_registers`, which tells `num`, `peak`
    and `scale`); CLS is cleared too and nothing is filled in, as zeroed weights do. The paper takes
    1,000 images. Memory is that of one batch.

    Args:
        vit: a timm ViT without test-time registers; afterwards as it came.
        neurons: the list, or just {block: [unit, ...]}.
        images: whatever `image_batches` takes.
        num: number of registers R, at least 1.
        peak: what moves to them.
        scale: factor on it, one number or one per register.
        batch_size: images per batch.
        progress: called with (images done, images in all or None) after every batch.

    Raises:
        InputError: see `add_test_time_registers` and `image_batches`; attention that cannot take
            constants; values that are not finite.
    """
    check_attention(vit)
    if num == 0:
        raise InputError("num=0: expected at least 1 register, whose key and value are measured")
    batches = image_batches(images, vit, batch_size=batch_size, progress=progress)
    if not isinstance(neurons, RegisterNeurons):
        neurons = RegisterNeurons("", neurons)
    with restored_eval(vit), torch.no_grad():
        add_test_time_registers(vit, neurons, num, peak, scale=scale)
        rows = family_of(vit).layout(vit).registers
        sums, count = _sums(vit, batches, rows)
    keys, values = (sums / count).float().cpu().unbind()
    options = {
        "source": "mean key and value of the test-time register, A.2 of arXiv 2506.08010",
        **creation_record(vit, batches),
        "peak": peak,
        "scale": scale if isinstance(scale, int | float) else list(scale),
        "neurons": dict(neurons.provenance),
    }
    return BakedRegisters(model_name(vit) or neurons.model, neurons.layers, keys, values, options)


def _sums(vit: nn.Module, batches: ImageBatches, rows: slice) -> tuple[Tensor, int]:
    """Keys and values of the tokens `rows`, summed over the images, and the number of images.

    Returns:
        float64 [2, blocks, heads, R, head_dim].
    """
    family = family_of(vit)
    blocks = family.blocks(vit)
    sums: dict[int, Tensor] = {}
    count = 0

    def add(block: int, tokens: Tensor) -> None:
        heads = family.heads(blocks[block], tokens[:, rows])  # each [B, heads, R, head_dim]
        total = torch.stack([heads.key, heads.value]).double().sum(dim=1)
        sums[block] = sums[block] + total if block in sums else total

    sites = {Site(block, "attention"): partial(add, block) for block in range(len(blocks))}
    with reading(vit, sites):
        for batch in batches:
            with naming_images(batches, count):
                check_finite({"final features": token_norms(family.final_tokens(vit, batch))})
            count += len(batch)
    return torch.stack([sums[block] for block in range(len(blocks))], dim=1), count
