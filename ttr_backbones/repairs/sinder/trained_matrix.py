"""A matrix of a ViT while its singular values are trained."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.repairs.sinder.singular_values import Decomposition
from ttr_backbones.vits.block_parts import LinearPart
from ttr_backbones.vits.class_swap import Mixin, mix


class FormedWeight(Mixin):
    """A layer whose weight is formed anew after every step and used as it is in between."""

    formed: Tensor

    @property
    def weight(self) -> Tensor:
        """What was formed."""
        return self.formed

    def restore(self) -> None:
        """Have the layer's own parameter again, which was never touched."""
        del self.formed


class TrainedMatrix:
    """Changes epsilon of the singular values of one matrix, and the layer that runs with them.

    Vectors are frozen, and are taken when they are first needed: most models have blocks that are
    never trained.

    Args:
        part: the matrix; `FormedWeight` is mixed into its layer.

    Attributes:
        epsilon: [rank], zeros at first.
    """

    def __init__(self, part: LinearPart) -> None:
        self.part = part
        layer: Any = part.module
        self._whole, self._original = layer.weight.detach(), part.weight
        self.epsilon = nn.Parameter(self._original.new_zeros(min(self._original.shape)))
        mix(layer, FormedWeight)
        layer.formed = self._whole

    @cached_property
    def _vectors(self) -> tuple[Decomposition, Tensor, Tensor]:
        decomposition = Decomposition(self._original)
        return (
            decomposition,
            decomposition.u.to(self._original),
            decomposition.vt.to(self._original),
        )

    @property
    def weight(self) -> Tensor:
        """What the layer computes with, [outputs, inputs]: a leaf of the graph."""
        formed: Tensor = self.part.module.formed
        return formed

    @torch.no_grad()
    def form(self) -> None:
        """Let the layer compute with U diag(S + epsilon) V^T from now on."""
        _, u, vt = self._vectors
        formed = self._whole.clone()
        self.part.of(formed).add_((u * self.epsilon) @ vt)
        self.part.module.formed = formed

    @torch.no_grad()
    def add_gradient(self, of_weight: Tensor) -> None:
        """Add to the gradient of epsilon, diag(U^T G V) of that of the weight, G.

        Args:
            of_weight: [outputs, inputs] of the whole layer.
        """
        decomposition, u, vt = self._vectors
        gradient = ((u.T @ self.part.of(of_weight)) * vt).sum(dim=1)
        gradient = decomposition.mean_over_ties(gradient)
        before = self.epsilon.grad
        self.epsilon.grad = gradient if before is None else before + gradient
