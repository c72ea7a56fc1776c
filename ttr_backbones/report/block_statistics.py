"""Statistics of blocks, recorded in normal forward passes: outliers, norms, CLS attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.backbones import TimmViT
from ttr_backbones.images.finite import NonFiniteError
from ttr_backbones.registers import mean_plus_std, split_tokens, token_norms
from ttr_backbones.vits.attention import cls_attention
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.reader import Site, reading


class BlockRecorder:
    """Measures raw outputs of some blocks in every pass of a backbone between start and stop.

    Only sums are kept, and nothing waits for the device. What the model computes is not touched.

    Args:
        backbone: the backbone.
        blocks: 0-based.
        threshold: an outlier patch has a norm above it; None takes mean + 3 std of each image.

    Attributes:
        first_input: the input [B, 3, H, W] of the first pass since it was last set to None.
        norms: {block: patch norms [B, h, w] of the latest pass}.
    """

    def __init__(self, backbone: TimmViT, blocks: Sequence[int], threshold: float | None) -> None:
        self._backbone, self._threshold = backbone, threshold
        self._blocks = tuple(dict.fromkeys(blocks))
        self._opened: ExitStack | None = None
        self._sums: dict[int, dict[str, Tensor]] = {}
        self._grid = (0, 0)
        self.first_input: Tensor | None = None
        self.norms: dict[int, Tensor] = {}

    @property
    def running(self) -> bool:
        """Whether it measures."""
        return self._opened is not None

    def start(self) -> None:
        """Measure from now on, from zero."""
        self.stop()
        self._sums, self.first_input = {}, None
        vit, opened = self._backbone.vit, ExitStack()
        handle = self._backbone.register_forward_pre_hook(self._keep_input)
        opened.callback(handle.remove)
        sites: dict[Site, Callable[[Tensor], None]] = {Site(None): self._keep_grid}
        for block in self._blocks:
            sites[Site(block, "output")] = partial(self._measure, block)
            if family_of(vit).layout(vit).num_cls:
                sites[Site(block, "attention")] = partial(self._measure_attention, block)
        opened.enter_context(reading(vit, sites))
        self._opened = opened

    def stop(self) -> None:
        """Measure no more; the results stay."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def results(self) -> dict[str, float]:
        """Fraction of outlier patches, largest patch norm and entropy of CLS attention.

        The entropy is that of a head's attention to the patches, as a share of log(patches), mean
        over heads and images: 1 is even attention, 0 all on one patch. It is there if the model
        has a CLS token. With several blocks the names end in the block's number.

        Raises:
            NonFiniteError: norms that were NaN or infinite.
        """
        statistics = {}
        for block, sums in self._sums.items():
            if bad := int(sums["non_finite"].item()):
                total = int(sums["patches"].item())
                raise NonFiniteError(f"patch norms after block {block}", bad, total, None)
            end = f"_block{block}" if len(self._blocks) > 1 else ""
            statistics[f"outlier_fraction{end}"] = (sums["outliers"] / sums["patches"]).item()
            statistics[f"largest_norm{end}"] = sums["largest"].item()
            if "entropy" in sums:
                statistics[f"attention_entropy{end}"] = (sums["entropy"] / sums["images"]).item()
        return statistics

    def _keep_input(self, module: Any, args: tuple[Tensor, ...]) -> None:
        del module
        if self.first_input is None:
            self.first_input = args[0].detach()

    def _keep_grid(self, patches: Tensor) -> None:
        self._grid = (patches.shape[1], patches.shape[2])

    @torch.no_grad()
    def _measure(self, block: int, output: Tensor) -> None:
        norms = token_norms(split_tokens(self._backbone.vit, output).patches)
        self.norms[block] = norms.unflatten(1, self._grid)
        threshold = mean_plus_std(norms) if self._threshold is None else self._threshold
        new = {
            "outliers": (norms > threshold).sum(),
            "non_finite": (~norms.isfinite()).sum(),  # counted: nothing waits for the device
            "patches": norms.new_tensor(norms.numel()),
            "images": norms.new_tensor(len(norms)),
        }
        self._add(block, new)
        sums = self._sums[block]
        sums["largest"] = torch.maximum(sums.get("largest", norms.new_zeros(())), norms.max())

    @torch.no_grad()
    def _measure_attention(self, block: int, tokens: Tensor) -> None:
        attention = cls_attention(self._backbone.vit, block, tokens, self._grid)
        self._add(block, {"entropy": _entropy(attention).sum()})

    def _add(self, block: int, new: dict[str, Tensor]) -> None:
        sums = self._sums.setdefault(block, {})
        for name, value in new.items():
            sums[name] = sums.get(name, 0) + value


def _entropy(attention: Tensor) -> Tensor:
    """CLS attention [B, heads, patches] -> entropy as a share of the largest possible, [B]."""
    shares = attention.float()
    shares = shares / shares.sum(dim=-1, keepdim=True)
    entropy = torch.special.entr(shares).sum(dim=-1)
    return entropy.mean(dim=1) / math.log(shares.shape[-1])
