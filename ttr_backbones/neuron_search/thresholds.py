"""From the norms of many tokens to the norm above which a token is an outlier.

The norms are kept as a histogram of fixed size, so a rule sees any number of images in the same
memory, and processes can add theirs up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ttr_backbones.images.finite import NonFiniteError

Rule = Literal["gap", "mean_std", "median_mad"]

_LOG_LOW, _LOG_HIGH, _BINS = math.log(1e-4), math.log(1e8), 8192  # bins of 0.34 %
_RATIO = 3.0
_SPREADS = 6.0
_RARE = 0.25


class NormHistogram:
    """How many tokens had which norm, in logarithmic bins of 0.34 %, with exact mean and std.

    Args:
        device: where the norms will be.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.counts = torch.zeros(_BINS, dtype=torch.float64, device=device)
        self.moments = torch.zeros(3, dtype=torch.float64, device=device)  # count, sum, squares

    def add(self, norms: Tensor) -> None:
        """Count norms of any shape; those beyond the bins count in the last one.

        NaN and infinite ones make `moments` so, and the rules refuse them.
        """
        flat = norms.flatten().double()
        logs = flat.log().clamp(_LOG_LOW, _LOG_HIGH)
        self.counts += torch.histc(logs, _BINS, _LOG_LOW, _LOG_HIGH)
        self.moments += torch.stack([flat.new_tensor(len(flat)), flat.sum(), flat.square().sum()])

    @property
    def logs(self) -> Tensor:
        """Natural logarithm of the norm in the middle of each bin, float64 [bins]."""
        step = (_LOG_HIGH - _LOG_LOW) / _BINS
        middles = torch.arange(_BINS, dtype=torch.float64, device=self.counts.device) + 0.5
        return _LOG_LOW + step * middles

    def require_finite(self) -> None:
        """Raise NonFiniteError if a norm was NaN or infinite."""
        if not self.moments.isfinite().all():
            count = int(self.moments[0].item())
            bad = max(count - int(self.counts.sum().item()), 1)
            raise NonFiniteError("norms of tokens", bad, count, None)

    def largest(self) -> float:
        """Largest norm, to the width of a bin."""
        return self.logs[self.counts.nonzero().max()].exp().item()

    def skewness(self) -> float:
        """Third standardised moment, to the width of a bin; 0 for equal norms."""
        norms = self.logs.exp()
        norms = norms / self.median()
        mean = _mean(norms, self.counts)
        second = _mean((norms - mean).square(), self.counts)
        third = _mean((norms - mean) ** 3, self.counts)
        return (third / second.clamp_min(1e-12) ** 1.5).item()

    def median(self) -> float:
        """Median norm, to the width of a bin."""
        return _weighted_median(self.logs, self.counts).exp().item()


def mean_std_threshold(norms: NormHistogram, num_std: float = 3.0) -> float:
    """Mean + 3 std, the paper's rule where no threshold is known (arXiv 2506.08010, A.4)."""
    norms.require_finite()
    count, total, squares = norms.moments.tolist()
    mean = total / count
    return mean + num_std * math.sqrt(max(squares / count - mean**2, 0.0))


def median_mad_threshold(norms: NormHistogram, k: float = 10.0) -> float:
    """Median + k robust standard deviations (1.4826 x the median absolute deviation)."""
    norms.require_finite()
    values = norms.logs.exp()
    median = _weighted_median(values, norms.counts)
    mad = _weighted_median((values - median).abs(), norms.counts)
    return (median + k * 1.4826 * mad).item()


def gap_threshold(norms: NormHistogram) -> float | None:
    """Middle of the gap between ordinary and outlier norms, None where there is no gap.

    Two means on the logarithms, from the median and the largest norm. It is a gap if the upper
    group is rare (at most a quarter of the tokens), three times as large as the lower one, and six
    of the lower one's standard deviations away; a single mode, however broad, never is.
    """
    norms.require_finite()
    logs, counts = norms.logs, norms.counts
    if not counts.any():
        return None
    low, high = _weighted_median(logs, counts), logs[counts.nonzero().max()]
    for _ in range(100):
        upper = logs > (low + high) / 2
        moved = _mean(logs, counts * ~upper), _mean(logs, counts * upper)
        if torch.equal(torch.stack(moved), torch.stack((low, high))):
            break
        low, high = moved
    below = counts * ~upper
    spread = _mean((logs - low).square(), below).sqrt()
    rare = (counts * upper).sum() <= _RARE * counts.sum()
    if rare and high - low >= max(math.log(_RATIO), _SPREADS * spread.item()):
        return ((low + high) / 2).exp().item()
    return None


RULES: dict[str, Callable[[NormHistogram], float | None]] = {
    "gap": gap_threshold,
    "mean_std": mean_std_threshold,
    "median_mad": median_mad_threshold,
}


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum()


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    ordered, order = values.sort()
    reached = weights[order].cumsum(0) >= weights.sum() / 2
    return ordered[reached.float().argmax()]
