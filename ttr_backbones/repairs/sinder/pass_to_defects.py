"""Forward and backward pass of one step: where defects appear, and the gradient of their loss."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.images.finite import check_finite
from ttr_backbones.repairs.sinder.neighbourhood import (
    DefectRule,
    cosines,
    neighbourhood_loss,
    neighbourhood_means,
)
from ttr_backbones.repairs.sinder.trained_matrix import TrainedMatrix
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.pos_embed import Positions, positions_of
from ttr_backbones.vits.register_tokens import num_inner_prefix_tokens
from ttr_backbones.vits.tokens import Grid

_NEAR = 0.7  # |cos|: within 45 degrees a patch points where defects do


@dataclass
class BatchCounts:
    """Counts of one batch.

    Args:
        loss: sum over the images that had defects, [].
        blocks: how many images have their first defects after which block.
        skipped: images without.
        at_border: of these, with defects at the border alone, where they do not count.
        crowded: of these, with more patches near the direction than the rule can ever flag.
    """

    loss: Tensor
    blocks: Counter[int] = field(default_factory=Counter)
    skipped: int = 0
    at_border: int = 0
    crowded: int = 0

    @property
    def trained(self) -> int:
        """Images that had defects."""
        return sum(self.blocks.values())


class PassToDefects:
    """Runs images to the first block after which they have defects, and their loss back.

    The gradient is that of a window of blocks which ends there: it is taken in a second pass that
    starts from what the first one had before the window, so that memory is that of the window.

    Args:
        vit: whose layers are those of `trained`.
        trained: by "block.part".
        directions: unit vectors [blocks, C].
        detection: what a defect is.
        minimum: defects that an image needs.
        window: blocks that are trained at a time.
    """

    def __init__(
        self,
        vit: Any,
        trained: Mapping[str, TrainedMatrix],
        directions: Tensor,
        detection: DefectRule,
        *,
        minimum: int,
        window: int,
    ) -> None:
        self.vit, self.family = vit, family_of(vit)
        self.directions = directions.to(next(vit.parameters()))
        self.detection, self.minimum, self.window = detection, minimum, window
        self.depth = len(self.family.blocks(vit))
        self.trained: list[list[TrainedMatrix]] = [
            [matrix for name, matrix in trained.items() if name.startswith(f"{block}.")]
            for block in range(self.depth)
        ]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> BatchCounts:
        """Add the gradient of the loss of a batch [B, 3, H, W], summed over its images.

        Raises:
            NonFiniteError: patches that are NaN or infinite, which are no defects and not none.
        """
        patches = self.family.patches(self.vit, images)
        grid = (patches.shape[1], patches.shape[2])
        positions = positions_of(self.vit, grid, "timm")  # as in the model's own pass
        tokens = self.family.embed(self.vit, patches, positions.table)
        seen = BatchCounts(tokens.new_zeros(()))
        crowded = at_border = torch.zeros(len(images), dtype=torch.bool, device=tokens.device)
        before: deque[Tensor] = deque(maxlen=self.window)
        for block in range(self.depth):
            before.append(tokens)
            tokens = self.family.run_block(self.vit, block, tokens, positions.rotation)
            maps = self._maps(tokens, grid)
            angles = cosines(maps, self.directions[block])
            check_finite({f"directions of the patches after block {block}": angles})
            defects = self.detection(angles)
            enough = self._enough(defects)
            crowded = crowded | self._crowded(angles)
            at_border = at_border | self._enough(self.detection.with_border(angles))
            if not enough.any():
                continue
            seen.blocks[block] += int(enough.sum())
            means = neighbourhood_means(maps[enough], angles[enough])
            inputs = before[0][enough]
            seen.loss += self._backward(block, inputs, positions, defects[enough], means)
            left = ~enough
            tokens, crowded, at_border = tokens[left], crowded[left], at_border[left]
            before = deque((each[left] for each in before), maxlen=self.window)
            if not len(tokens):
                break
        seen.skipped = len(images) - seen.trained
        seen.crowded, seen.at_border = int(crowded.sum()), int((at_border & ~crowded).sum())
        return seen

    def _backward(
        self, block: int, tokens: Tensor, positions: Positions, defects: Tensor, means: Tensor
    ) -> Tensor:
        """Run the window that ends with `block` once more, and add its gradient."""
        first = max(block - self.window + 1, 0)
        trained = [matrix for each in self.trained[first : block + 1] for matrix in each]
        weights = [matrix.weight.requires_grad_() for matrix in trained]
        with torch.enable_grad():
            for index in range(first, block + 1):
                tokens = self.family.run_block(self.vit, index, tokens, positions.rotation)
            maps = self._maps(tokens, (means.shape[1], means.shape[2]))
            border = self.detection.border
            loss = neighbourhood_loss(maps, means, defects, border=border).sum()
        gradients = torch.autograd.grad(loss, weights)
        for matrix, weight, gradient in zip(trained, weights, gradients, strict=True):
            weight.requires_grad = False
            matrix.add_gradient(gradient)
        return loss.detach()

    def _maps(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens[:, num_inner_prefix_tokens(self.vit) :].unflatten(1, grid)

    def _enough(self, defects: Tensor) -> Tensor:
        return defects.sum(dim=(1, 2)) >= self.minimum

    def _crowded(self, angles: Tensor) -> Tensor:
        """Whether more patches point there than the rule can flag, and not just all of them."""
        share = (angles > _NEAR).float().mean(dim=(1, 2))
        return (share > self.detection.largest_share) & (share < 0.5)
