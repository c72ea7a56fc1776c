"""High-norm outlier tokens: norms, the default threshold, and the mask."""

from __future__ import annotations

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.images.finite import check_finite


def token_norms(tokens: Tensor) -> Tensor:
    """L2 norm of every token, [..., N, C] -> float32 [..., N].

    The paper takes it on raw block outputs, before the final LayerNorm.
    """
    return torch.linalg.vector_norm(tokens, dim=-1, dtype=torch.float32)


def mean_plus_std(norms: Tensor, *, num_std: float = 3.0) -> Tensor:
    """The paper's threshold where none is known (A.4): mean + 3 std of the patch norms.

    Args:
        norms: [..., N]; the statistics are taken over the last axis.
        num_std: how many standard deviations above the mean.

    Returns:
        The thresholds, [..., 1].
    """
    std, mean = torch.std_mean(norms, dim=-1, keepdim=True, correction=0)
    return mean + num_std * std


def outlier_mask(tokens: Tensor, threshold: float | Tensor | None = None) -> Tensor:
    """Mark the tokens whose norm is above a threshold.

    Args:
        tokens: patch tokens of a raw block output, [B, N, C], or their norms, [B, N].
        threshold: the norm above which a token is an outlier; by default `mean_plus_std` of each
            image by itself, which needs outliers to be rare and far off.

    Returns:
        bool [B, N].

    Raises:
        InputError: neither [B, N, C] nor [B, N].
        NonFiniteError: NaN or infinite norms.
    """
    if tokens.ndim not in (2, 3):
        raise InputError(
            f"outlier_mask expected tokens [B, N, C] or norms [B, N], got {tuple(tokens.shape)}"
        )
    norms = token_norms(tokens) if tokens.ndim == 3 else tokens
    check_finite({"norms of tokens": norms})
    if threshold is None:
        threshold = mean_plus_std(norms)
    return norms > threshold
