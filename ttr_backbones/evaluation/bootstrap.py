"""How far a score would move with other images of the same kind: the bootstrap over images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.evaluation.image_parts import ImageParts, Parts

_AT_ONCE = 100  # rounds whose draws are in memory together


class Interval(NamedTuple):
    """A percentile interval.

    Attributes:
        low: its lower end.
        high: its upper end.
    """

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether `value` lies within, ends included."""
        return self.low <= value <= self.high


def bootstrap_scores(
    parts: Parts, metric: ImageParts, rounds: int, seed: int
) -> NDArray[np.float64]:
    """Score data sets that are drawn from this one, with replacement.

    Equal seeds draw equal images, so that scores of two models on one data set are paired, whether
    they were computed together or one after the other.

    A drawn set holds on average 63 % of the different images, which moves the score of a metric
    that is no mean over images, and would of other images not. So such scores are centred on that
    of all images (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 10: the
    mean of the drawn scores minus the score is the bootstrap's estimate of bias).

    Args:
        parts: what the metric is made of, for every run and image, [M, N, P].
        metric: how it is made of them.
        rounds: data sets to draw.
        seed: of the draws.

    Returns:
        One score per run and drawn set, [M, rounds].
    """
    rng, num_images = np.random.default_rng(seed), parts.shape[1]
    whole = parts.sum(axis=1)
    found = []
    for start in range(0, rounds, _AT_ONCE):
        draws = min(_AT_ONCE, rounds - start)
        times = rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=draws)
        sums = np.einsum("rn,mnp->mrp", times.astype(float), parts, optimize=True)
        found.append(metric.drawn_score(sums, whole[:, None]))
    scores = np.concatenate(found, axis=1)
    if metric.is_mean:
        return scores
    return scores - np.nanmean(scores, axis=1, keepdims=True) + metric.score(whole)[:, None]


def percentile_interval(values: NDArray[np.float64]) -> Interval:
    """Return the 95 % percentile interval of bootstrap scores, or of differences of such.

    Args:
        values: [R]; NaN does not count.
    """
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return Interval(float(low), float(high))
