"""Matrices whose singular values change: W = U diag(S + epsilon) V^T (arXiv 2407.16826)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.block_parts import LinearPart
from ttr_backbones.vits.family import family_of, naming_block
from ttr_backbones.vits.replaced_parameters import replace_parameters

_SAME = 1e-11  # of the largest squared value: nearer ones are one value, smaller ones are 0


class Decomposition:
    """Singular value decomposition of a matrix, as far as the matrix alone decides it.

    Vectors of equal singular values are free, and those of near ones mix in float32 differently on
    every machine: a change that was trained here would be another one elsewhere. So it is taken in
    float64, equal values change together, by the mean of their changes, and zeros do not change.
    What is then added to the matrix is the same everywhere.

    Args:
        weight: [outputs, inputs].

    Attributes:
        u: [outputs, rank], float64.
        vt: [rank, inputs], float64; zeros where the singular value is 0.
    """

    def __init__(self, weight: Tensor) -> None:
        matrix = weight.detach().double()
        wide = matrix.shape[0] <= matrix.shape[1]
        if not wide:
            matrix = matrix.T
        # Of the smaller of the two Gram matrices: a fraction of the time of an SVD.
        squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
        squares, u = squares.flip(0), vectors.flip(1)
        same = _SAME * squares[0]
        nonzero = squares > same
        inverse = torch.where(nonzero, squares.clamp_min(same).rsqrt(), 0)
        vt = inverse[:, None] * (u.T @ matrix)
        self.u, self.vt = (u, vt) if wide else (vt.T, u.T * nonzero[:, None])
        self.number = torch.cat([squares.new_zeros(1), (-squares.diff() > same).cumsum(0)]).long()

    def change(self, epsilon: Tensor) -> Tensor:
        """What is added to the matrix: U diag(epsilon) V^T, float64 [outputs, inputs]."""
        return (self.u * self.mean_over_ties(epsilon.to(self.u))) @ self.vt

    def mean_over_ties(self, epsilon: Tensor) -> Tensor:
        """Let the changes of equal values be their mean: [rank]."""
        ones, zeros = torch.ones_like(epsilon), torch.zeros_like(epsilon)
        sums, counts = (zeros.index_add(0, self.number, each) for each in (epsilon, ones))
        return (sums / counts.clamp_min(1))[self.number]


def matrices(vit: nn.Module) -> dict[str, LinearPart]:
    """Name what singular values are trained of: values, projection and MLP of every block.

    Returns:
        {"block.part": matrix}, in the order of the blocks.

    Raises:
        InputError: a block that cannot be taken apart.
    """
    family = family_of(vit)
    found: dict[str, LinearPart] = {}
    for index, block in enumerate(family.blocks(vit)):
        with naming_block(index):
            parts = family.parts(block)
        found |= {f"{index}.{name}": part for name, part in parts.linears.items()}
    return found


def change_singular_values(vit: nn.Module, epsilons: Mapping[str, Tensor]) -> None:
    """Fold changes of singular values into the weights of `vit`, until `unmix_all`.

    Args:
        vit: the model.
        epsilons: by "block.part", [rank] each.

    Raises:
        InputError: the model has no such matrix, or one of another rank; nothing is changed then.
    """
    known = matrices(vit)
    for name, epsilon in epsilons.items():
        ranks = () if name not in known else (min(known[name].weight.shape),)
        if tuple(epsilon.shape) != ranks:
            has = f"{ranks[0]} singular values" if ranks else "no such matrix"
            raise InputError(
                f"{name}: changes of {len(epsilon)} singular values, the model has {has}: they "
                "belong to another model"
            )
    names = {module: name for name, module in vit.named_modules()}
    values: dict[str, Tensor] = {}
    for name, epsilon in epsilons.items():
        part = known[name]
        weight, change = part.module.weight.detach(), Decomposition(part.weight).change(epsilon)
        changed = weight.to(torch.float64, copy=True)
        changed[slice(None) if part.rows is None else part.rows] += change
        values[f"{names[part.module]}.weight"] = changed.to(weight)
    replace_parameters(vit, values)
