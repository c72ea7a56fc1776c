"""What the neuron search takes from one batch: its outlier tokens, and scores on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor, nn

from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.register_tokens import forward_with_registers

SPARSE_BELOW = 0.5  # the published filter: an activation below this is "off" ...
SPARSE_SHARE = 0.5  # ... and a neuron that is on in more than this share of tokens is not sparse


class _EnoughSeen(Exception):  # noqa: N818 (a signal)
    """Stops a forward pass in the last block that is scored, before its largest layer."""


class Scan:
    """Finds the outlier tokens of one batch, and scores every unit on them.

    Attributes:
        not_finite: how many tokens of each image of the latest batch have a norm that is NaN or
            infinite, [B].
    """

    not_finite: Tensor

    def __init__(self, vit: nn.Module, detect: int, *, include_cls: bool) -> None:
        self.vit, self.detect = vit, detect
        layout = family_of(vit).layout(vit)
        self.num_prefix = layout.num_prefix
        self.num_cls = layout.num_cls if include_cls else 0

    def candidate_norms(self, batch: Tensor) -> Tensor:
        """Norms of the tokens that may be outliers: the patches, and CLS if it is included."""
        norms = self.norms(batch)
        return torch.cat([norms[:, : self.num_cls], norms[:, self.num_prefix :]], dim=1)

    @torch.no_grad()
    def norms(self, batch: Tensor, last_block: int = 0) -> Tensor:
        """Norms [B, N] after the detection block; tokens that cannot be outliers have 0.

        The model runs on to `last_block` if that is later.
        """
        last_block = max(self.detect, last_block)
        _, outputs = forward_with_registers(
            self.vit,
            batch,
            sorted({self.detect, last_block}),
            stop_early=True,
            intermediates_only=True,
        )
        norms = token_norms(torch.cat([outputs[0].prefix, outputs[0].patches], dim=1))
        self.not_finite = (~norms.isfinite()).sum(dim=1)
        norms[:, self.num_cls : self.num_prefix] = 0
        return norms

    def in_one_pass(
        self, batch: Tensor, threshold: float, blocks: range, *, sparsity: bool
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Keep the hidden activations of all blocks until the outliers are known."""
        hidden: dict[int, Tensor] = {}
        with reading(self.vit, neurons(blocks, hidden.__setitem__)):
            mask = self.norms(batch, last_block=blocks[-1]) > threshold
        outliers = Outliers(mask)
        return mask, {b: score_units(h, outliers, sparsity=sparsity) for b, h in hidden.items()}

    def in_two_passes(
        self, batch: Tensor, threshold: float, blocks: range, *, sparsity: bool
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Find the outliers first, then score each block while it runs and keep nothing else."""
        mask = self.norms(batch) > threshold
        outliers = Outliers(mask)
        parts: dict[int, Tensor] = {}

        def score(block: int, hidden: Tensor) -> None:
            parts[block] = score_units(hidden, outliers, sparsity=sparsity)
            if block == blocks[-1]:
                raise _EnoughSeen

        if len(outliers.token):
            with reading(self.vit, neurons(blocks, score)), suppress(_EnoughSeen):
                self.norms(batch, last_block=blocks[-1])
        return mask, parts


def neurons(
    blocks: Iterable[int], hook: Callable[[int, Tensor], object]
) -> dict[Site, Callable[[Tensor], object]]:
    """Have `hook` called with every block's number and its neurons' values, [B, N, D]."""
    return {Site(block, "hidden"): partial(hook, block) for block in blocks}


class Outliers:
    """Where the M outlier tokens of a batch are: the one thing that the host waits for.

    Args:
        mask: outlier tokens, bool [B, N].

    Attributes:
        image: index of each in the batch, [M].
        token: index of each in its image, [M].
        weights: that average over the outliers of each image, [B, M].
    """

    def __init__(self, mask: Tensor) -> None:
        self.image, self.token = mask.nonzero(as_tuple=True)
        one_hot = nn.functional.one_hot(self.image, len(mask))
        self.weights = (one_hot / mask.sum(dim=1).clamp_min(1)).T


def score_units(hidden: Tensor, outliers: Outliers, *, sparsity: bool) -> Tensor:
    """Sum over the images of each unit's mean |activation| at the image's outliers.

    Args:
        hidden: [B, N, D].
        outliers: of the batch.
        sparsity: the published filter.

    Returns:
        float64 [D]; an image without outliers adds 0.
    """
    of_outliers = hidden[outliers.image, outliers.token].abs()  # [M, D]
    means = outliers.weights.to(hidden.dtype) @ of_outliers
    if sparsity:
        means = means * (_tokens_off(hidden) >= SPARSE_SHARE * hidden.shape[1])
    return means.double().sum(dim=0)


def _tokens_off(hidden: Tensor) -> Tensor:
    """In how many tokens of each image each unit is off, hidden [B, N, D] -> int32 [B, D].

    Bytes are compared and summed faster than floats; one holds a sum of 255.
    """
    off = (hidden < SPARSE_BELOW).view(torch.uint8)
    counts = [part.sum(dim=1, dtype=torch.uint8).int() for part in off.split(255, dim=1)]
    return sum(counts[1:], start=counts[0])
