"""How far a predicted depth is from the truth, on a logarithmic scale."""

from __future__ import annotations

from torch import Tensor

_EPS = 1e-3  # metres; keeps the gradient of the logarithm bounded, as in DINOv2


def log_difference(depth: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Compare depth and truth (metres, any equal shape); truth that is not positive is missing.

    Returns:
        log(depth + 1 mm) - log(truth + 1 mm) in float32, 0 where the truth is missing, and the
        bool mask of the pixels that have a truth.
    """
    valid = truth > 0
    # Filled before the logarithm: a NaN there would come back through the gradient of the mask.
    depth, truth = (x.masked_fill(~valid, 1.0).float() for x in (depth, truth))
    return (depth + _EPS).log() - (truth + _EPS).log(), valid
