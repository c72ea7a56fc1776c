"""The vision tower of a vision-language model: what of it the language model is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.neuron_search.thresholds import NormHistogram, gap_threshold
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.register_tokens import split_tokens
from ttr_backbones.vits.tokens import Grid


def feature_block(model: Any) -> int:
    """Index of the block, 0-based, whose output the language model reads.

    It is what `vision_feature_layer` of the config means (-2 in LLaVA: the last block but one), the
    deepest where there are several; the last block where a model has no such entry.

    Raises:
        InputError: it names the embeddings, or a block that does not exist.
    """
    depth = len(family_of(model).blocks(model))
    layers = getattr(model.config, "vision_feature_layer", -1)
    layers = [-1] if layers is None else [layers] if isinstance(layers, int) else list(layers)
    # Entry 0 of `hidden_states` is the embedding, so entry i is the output of block i - 1.
    blocks = [layer - 1 if layer >= 0 else depth + layer for layer in layers]
    if not blocks or not all(0 <= block < depth for block in blocks):
        raise InputError(
            f"vision_feature_layer={layers} of the model's config: expected layers that are the "
            f"output of one of its {depth} blocks, 1 to {depth} or -{depth} to -1"
        )
    return max(blocks)


def prefix_dropped(model: Any) -> int:
    """Number of tokens that the model cuts off before its projector.

    "default" cuts one, CLS; "full" keeps all. SigLIP has no CLS, and its models say "full".
    """
    strategy = getattr(model.config, "vision_feature_select_strategy", None)
    if strategy not in ("default", "full"):
        return 0
    return int(strategy == "default")


def patch_grid(model: Any, tiles: Tensor) -> Grid:
    """Patches (h, w) of the pictures [T, 3, H, W] that the tower is given."""
    height, width = family_of(model).facts(model).patch_size
    return tiles.shape[2] // height, tiles.shape[3] // width


@contextmanager
def reading_norms(model: Any, block: int) -> Iterator[list[Tensor]]:
    """Collect the patch norms after a block of the tower in every pass of it: [T, h * w] each."""
    seen: list[Tensor] = []

    def note(tokens: Tensor) -> None:
        seen.append(token_norms(split_tokens(model, tokens.detach()).patches).cpu())

    with reading(model, {Site(block): note}):
        yield seen


def norm_threshold(norms: list[Tensor]) -> float | None:
    """The norm above which a patch is an outlier, by the gap rule over all `norms`.

    Returns:
        None where no group of patches stands out.
    """
    histogram = NormHistogram()
    for each in norms:
        histogram.add(torch.as_tensor(each))
    return gap_threshold(histogram)
