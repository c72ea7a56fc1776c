"""What a block of a ViT puts out while the model runs anyway: outliers, norms, CLS attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.backbones import TimmViT
from ttr_backbones.images.finite import NonFiniteError
from ttr_backbones.registers import mean_plus_std, num_inner_prefix_tokens, token_norms
from ttr_backbones.report.attention import cls_attention


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
        self._handles: list[Any] = []
        self._sums: dict[int, dict[str, Tensor]] = {}
        self._grid = (0, 0)
        self.first_input: Tensor | None = None
        self.norms: dict[int, Tensor] = {}

    @property
    def running(self) -> bool:
        """Whether it measures."""
        return bool(self._handles)

    def start(self) -> None:
        """Measure from now on, from zero."""
        self.stop()
        self._sums, self.first_input = {}, None
        self._handles = [
            self._backbone.register_forward_pre_hook(self._keep_input),
            self._backbone.vit.patch_embed.register_forward_hook(self._keep_grid),
            *(
                self._backbone.vit.blocks[block].register_forward_hook(self._measure)
                for block in self._blocks
            ),
        ]

    def stop(self) -> None:
        """Measure no more; the results stay."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def results(self) -> dict[str, float]:
        """Fraction of outlier patches, largest patch norm and entropy of CLS attention.

        The entropy is that of a head's attention to the patches, as a share of log(patches), mean
        over heads and images: 1 is even attention, 0 all on one patch. It is there if the model
        has a CLS token. With several blocks the names end in the block's number.

        Raises:
            NonFiniteError: norms that were NaN or infinite.
        """
        told = {}
        for block, sums in self._sums.items():
            if bad := int(sums["non_finite"].item()):
                total = int(sums["patches"].item())
                raise NonFiniteError(f"patch norms after block {block}", bad, total, None)
            end = f"_block{block}" if len(self._blocks) > 1 else ""
            told[f"outlier_fraction{end}"] = (sums["outliers"] / sums["patches"]).item()
            told[f"largest_norm{end}"] = sums["largest"].item()
            if "entropy" in sums:
                told[f"attention_entropy{end}"] = (sums["entropy"] / sums["images"]).item()
        return told

    def _keep_input(self, module: Any, args: tuple[Tensor, ...]) -> None:
        del module
        if self.first_input is None:
            self.first_input = args[0].detach()

    def _keep_grid(self, module: Any, args: Any, patches: Tensor) -> None:
        del module, args
        self._grid = (patches.shape[1], patches.shape[2])

    @torch.no_grad()
    def _measure(self, block: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        vit = self._backbone.vit
        index = next(i for i in self._blocks if vit.blocks[i] is block)
        first = num_inner_prefix_tokens(vit)
        norms = token_norms(output[:, first:])
        self.norms[index] = norms.unflatten(1, self._grid)
        threshold = mean_plus_std(norms) if self._threshold is None else self._threshold
        new = {
            "outliers": (norms > threshold).sum(),
            "non_finite": (~norms.isfinite()).sum(),  # counted: nothing waits for the device
            "patches": norms.new_tensor(norms.numel()),
            "images": norms.new_tensor(len(norms)),
        }
        if vit.has_class_token:
            new["entropy"] = _entropy(cls_attention(block, args[0], first_patch=first)).sum()
        sums = self._sums.setdefault(index, {"largest": norms.new_zeros(())})
        sums["largest"] = torch.maximum(sums["largest"], norms.max())
        for name, value in new.items():
            sums[name] = sums.get(name, 0) + value


def _entropy(attention: Tensor) -> Tensor:
    """CLS attention [B, heads, patches] -> entropy as a share of the largest possible, [B]."""
    shares = attention.float()
    shares = shares / shares.sum(dim=-1, keepdim=True)
    entropy = torch.special.entr(shares).sum(dim=-1)
    return entropy.mean(dim=1) / math.log(shares.shape[-1])
