"""Settings that are chosen on one half of the images and reported on the other.

The best of many settings on the very images it was chosen on is too good: the more settings, the
more. Every split gives two scores that no choice has seen, one for either half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.errors import InputError

Parts = NDArray[np.float64]
Score = Callable[[Parts], NDArray[np.float64]]


class HeldOutScores(NamedTuple):
    """What the splits gave.

    Attributes:
        scores: mean of the two held-out scores of every split, [R].
        chosen: index of the setting that was best on either half, [R, 2].
        seen: mean of the scores that the same settings have on the halves that chose them, [R].
    """

    scores: NDArray[np.float64]
    chosen: NDArray[np.int64]
    seen: NDArray[np.float64]

    def most_chosen(self) -> tuple[int, float]:
        """Return the setting chosen most often, of equal ones the first, and its share."""
        times = np.bincount(self.chosen.ravel())
        return int(times.argmax()), float(times.max() / self.chosen.size)


def random_halves(num_images: int, splits: int, seed: int) -> NDArray[np.bool_]:
    """Draw halves of a data set; of an odd number of images the other half has one more.

    Args:
        num_images: N, at least 2.
        splits: R.
        seed: equal seeds give equal halves, so that what is chosen on them is paired.

    Returns:
        Whether an image is in the first half, [R, N].

    Raises:
        InputError: too few images or splits.
    """
    if num_images < 2 or splits < 1:
        raise InputError(
            f"halves of {num_images} image(s), {splits} times: expected at least 2 images, one to "
            "choose on and one to report on, and at least 1 split"
        )
    first = np.broadcast_to(np.arange(num_images) < num_images // 2, (splits, num_images))
    return np.random.default_rng(seed).permuted(first, axis=1)


def held_out_scores(
    parts: Parts, halves: NDArray[np.bool_], score: Score, *, higher_is_better: bool = True
) -> HeldOutScores:
    """Choose the best setting on one half, take its score on the other, and the same in turn.

    Args:
        parts: what the metric is made of, for every setting and image, [S, N, P]; of equally good
            settings the first is chosen.
        halves: of `random_halves`, [R, N].
        score: sums over images -> the metric, [..., P] -> [...].
        higher_is_better: the direction of the metric.
    """
    sides = np.stack([halves, ~halves], axis=1).astype(np.float64)  # [R, 2, N]
    values = score(np.einsum("rhn,snp->rhsp", sides, parts, optimize=True))  # [R, 2, S]
    ranked = values if higher_is_better else -values
    chosen = np.nan_to_num(ranked, nan=-np.inf).argmax(axis=2)
    others, seen = (
        np.take_along_axis(half, chosen[..., None], axis=2).mean(axis=(1, 2))
        for half in (values[:, ::-1], values)
    )
    return HeldOutScores(others, chosen, seen)
