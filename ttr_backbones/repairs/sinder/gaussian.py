"""Expectations of an activation function of a Gaussian variable."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import timm.layers
import torch
from torch import Tensor, nn

_FAR = 40.0  # from here on every activation function in use is a straight line
_PANELS = (0.0, 0.5, 1.0, 2.0, 3.5, 6.0, 10.0, 18.0, _FAR)
_NODES = 24  # per panel, or under a narrow Gaussian
_NARROW = 1.0


class Moments(NamedTuple):
    """Of a = act(z), z ~ N(mean, std^2); each of the shape of `mean`, float64."""

    value: Tensor  # E[a(z)]
    slope: Tensor  # E[a'(z)]
    bend: Tensor  # E[a'(z) (z - mean)] / std^2, which is E[a''(z)]


def mean_slope(act: nn.Module, mean: Tensor, std: Tensor) -> Tensor:
    """E[act'(z)] of z ~ N(mean, std^2): closed for the exact GELU, else by quadrature.

    Args:
        act: elementwise.
        mean: float64, any shape.
        std: the same shape.
    """
    if _is_exact_gelu(act):
        r = (1 + std.square()).sqrt()
        at = mean / r
        return _cdf(at) + mean * _pdf(at) / r**3
    return moments(act, mean, std).slope


def moments(act: nn.Module, mean: Tensor, std: Tensor) -> Moments:
    """Integrate an activation function against a Gaussian, to about 1e-9.

    Two half-lines (ReLU) have closed moments. Of other functions a narrow Gaussian (std up to 1)
    sees a smooth piece, which Gauss-Hermite nodes take. To a wide one they are the two half-lines
    that they end in, and what they differ by lies around 0 under Gauss-Legendre panels.

    Args:
        act: elementwise, a straight line beyond +-40 on either side; smooth, or two half-lines.
        mean: float64, any shape.
        std: the same shape.
    """
    # A unit without weights has no width, but its slope has.
    std = std.clamp_min(1e-4)
    lines = _lines(act)
    near = torch.linspace(-_FAR, _FAR, 801, dtype=torch.float64)
    if torch.equal(_call(act, near), lines.value(near)):
        return lines.moments(mean, std)
    wide, narrow = _wide(act, lines, mean, std), _narrow(act, mean, std)
    return Moments(*(torch.where(std > _NARROW, *each) for each in zip(wide, narrow, strict=True)))


class _Lines(NamedTuple):
    """slope * z + offset below and above 0."""

    slope: tuple[float, float]
    offset: tuple[float, float]

    def value(self, z: Tensor) -> Tensor:
        below, above = (s * z + o for s, o in zip(self.slope, self.offset, strict=True))
        return torch.where(z > 0, above, below)

    def derivative(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, self.slope[1], self.slope[0]).to(z)

    def moments(self, mean: Tensor, std: Tensor) -> Moments:
        """Their own expectations; a step at 0, which the whole function has not, has no slope."""
        at = mean / std
        above, density = _cdf(at), _pdf(at) / std
        below = 1 - above
        positive = mean * above + std.square() * density  # E[max(z, 0)]
        (s0, s1), (o0, o1) = self.slope, self.offset
        return Moments(
            s1 * positive + s0 * (mean - positive) + o1 * above + o0 * below,
            s1 * above + s0 * below,
            (s1 - s0) * density,
        )


def _lines(act: nn.Module) -> _Lines:
    z = torch.tensor([-2 * _FAR, -_FAR, _FAR, 2 * _FAR], dtype=torch.float64)
    a = _call(act, z)
    slopes = ((a[1] - a[0]) / _FAR).item(), ((a[3] - a[2]) / _FAR).item()
    offsets = (a[1] + slopes[0] * _FAR).item(), (a[2] - slopes[1] * _FAR).item()
    return _Lines(slopes, offsets)


def _wide(act: nn.Module, lines: _Lines, mean: Tensor, std: Tensor) -> Moments:
    """The half-lines, and the rest by Gauss-Legendre nodes: the density is smooth among them."""
    x, w = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(_NODES))
    edges = torch.tensor(_PANELS, dtype=torch.float64)
    half, middle = edges.diff() / 2, (edges[1:] + edges[:-1]) / 2
    above = (middle[:, None] + half[:, None] * x).flatten()
    weights = (half[:, None] * w).flatten()
    z = torch.cat([-above.flip(0), above])
    weights = torch.cat([weights.flip(0), weights])
    rest = weights * (_call(act, z) - lines.value(z))
    rest_slope = weights * (_derivative(act, z) - lines.derivative(z))
    value, slope, bend = lines.moments(mean, std)
    for node, r, s in zip(z.tolist(), rest.tolist(), rest_slope.tolist(), strict=True):
        density = _pdf((node - mean) / std) / std
        value = value + r * density
        slope = slope + s * density
        bend = bend + s * density * (node - mean) / std.square()
    return Moments(value, slope, bend)


def _narrow(act: nn.Module, mean: Tensor, std: Tensor) -> Moments:
    """Gauss-Hermite nodes of the function itself."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    value, slope, bend = (torch.zeros_like(mean) for _ in range(3))
    for x, w in zip(nodes.tolist(), (weights / math.sqrt(2 * math.pi)).tolist(), strict=True):
        z = mean + std * x
        derivative = _derivative(act, z)
        value = value + w * _call(act, z)
        slope = slope + w * derivative
        bend = bend + w * derivative * x / std
    return Moments(value, slope, bend)


def _call(act: Any, z: Tensor) -> Tensor:
    """Not in place, though the module may be."""
    with torch.no_grad():
        return act(z.clone())


def _derivative(act: Any, z: Tensor) -> Tensor:
    with torch.enable_grad():
        z = z.detach().clone().requires_grad_()
        (derivative,) = torch.autograd.grad(act(z * 1.0).sum(), z)
    return derivative


def _is_exact_gelu(act: nn.Module) -> bool:
    if isinstance(act, nn.GELU):
        return act.approximate == "none"
    # That of transformers keeps torch's function.
    return type(act) is timm.layers.GELU or getattr(act, "act", None) is nn.functional.gelu


def _cdf(z: Tensor) -> Tensor:
    return torch.special.ndtr(z)


def _pdf(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
