"""A transformer block as one linear map of a token (SINDER, arXiv 2407.16826)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.repairs.sinder.gaussian import mean_slope, moments
from ttr_backbones.vits.block_parts import BlockParts, LinearPart, norm_map


def linear_block(parts: BlockParts) -> Tensor:
    """Take attention as if the token saw itself alone, norms without their division, no biases.

    Returns:
        float64 [C, C] on the CPU: the token after the block is about this times the token before.

    Raises:
        InputError: a norm before `proj` or `fc2`, for which the method has no linear map, or an
            activation function or a norm that is not known.
    """
    if parts.inner_norms:
        raise InputError(
            "a block with a norm before `proj` or `fc2`, which SINDER's linear map does not know: "
            "take direction='empirical', which needs none"
        )
    channels = parts.first_linear.weight.shape[1]
    identity = torch.eye(channels, dtype=torch.float64)
    attention = _double(parts.proj.weight) @ _double(parts.value.weight)
    hidden = linear_hidden(parts.act, parts.first_linear, parts.gate)
    mlp = _double(parts.second_linear.weight) @ hidden
    first = _scaled(attention, parts.scale1) @ norm_map(parts.norm1, channels)
    second = _scaled(mlp, parts.scale2) @ norm_map(parts.norm2, channels)
    return (identity + second) @ (identity + first)


def linear_hidden(act: nn.Module, first: LinearPart, gate: LinearPart | None) -> Tensor:
    """The linear map nearest to a token's hidden units, for tokens ~ N(0, I).

    That is the least squares fit without an intercept which the authors take of 100,000 samples;
    here it is its limit, E[d hidden / d token] (Stein's lemma). With h = act(g) u of jointly
    Gaussian g, u: E[act'(g) u] of the gate's weights and E[act(g)] of the others.

    Args:
        act: activation function.
        first: the first linear layer, [D, C].
        gate: [D, C]; None where the MLP is not gated.

    Returns:
        float64 [D, C] on the CPU.
    """
    weight, bias = _double(first.weight), _double(first.bias)
    if gate is None:
        return mean_slope(act, bias, weight.norm(dim=1))[:, None] * weight
    gate_weight = _double(gate.weight)
    of_gate = moments(act, _double(gate.bias), gate_weight.norm(dim=1))
    covariance = (gate_weight * weight).sum(dim=1)
    along_gate = bias * of_gate.slope + covariance * of_gate.bend
    return along_gate[:, None] * gate_weight + of_gate.value[:, None] * weight


def _double(tensor: Tensor) -> Tensor:
    return tensor.double().cpu()


def _scaled(matrix: Tensor, scale: Tensor | None) -> Tensor:
    return matrix if scale is None else _double(scale)[:, None] * matrix
