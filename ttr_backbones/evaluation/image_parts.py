"""Sufficient statistics of metrics per image, from which the score of any subset follows.

The published metrics are functions of sums over images: of areas, of errors, of hits. From the
parts of single images follow the score of a half, and that of a set drawn with replacement.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.evaluation.corloc import corloc_hits
from ttr_backbones.evaluation.depth_errors import ERRORS

Parts = NDArray[np.float64]


class ClassCounts(NamedTuple):
    """Of which classes a mean over classes is.

    Attributes:
        present: classes that occur in the truth.
        counted: those that the mean is over; one that is only predicted counts as 0.
        known: classes of the data set.
    """

    present: int
    counted: int
    known: int


class ImageParts(ABC):
    """Per-image sufficient statistics of a metric ("parts"), and the metric of their sums.

    Attributes:
        layout: what the parts are, in words; a file of parts with another is not read.
        is_mean: whether the metric is a mean over images, and so the same on average over sets that
            are drawn from them.
    """

    layout: ClassVar[str]
    is_mean: ClassVar[bool] = False

    @abstractmethod
    def of_results(self, results: Sequence[Any]) -> Parts:
        """Turn what an evaluator collected, one entry per image, into the parts [N, P]."""

    @abstractmethod
    def score(self, sums: Parts) -> NDArray[np.float64]:
        """Return the metric of sums of parts over images, [..., P] -> [...], in its own unit."""

    def mismatch(self, parts: Parts, value: float, *, percent: bool) -> str | None:
        """Return why parts [N, P] do not belong to a metric's value; None if they do.

        Args:
            parts: of all images.
            value: of the evaluator.
            percent: whether it is a percentage, which mmseg rounds to two decimals.
        """
        again = float(self.score(parts.sum(axis=0)))
        if abs(again - value) <= max(0.006 if percent else 0.0, 1e-6 * abs(value)):
            return None
        return f"single images make {again:g} and the evaluator says {value:g}"

    def drawn_score(self, sums: Parts, whole: Parts) -> NDArray[np.float64]:
        """Return the metric of a set that was drawn from a data set, with replacement.

        Args:
            sums: over the drawn images, [..., P].
            whole: over all images of the data set, broadcastable to `sums`; its own score as a
                drawn set is `score`.
        """
        del whole
        return self.score(sums)

    def classes(self, sums: Parts) -> ClassCounts | None:
        """Count the classes that sums over images [P] hold; None if the metric is of none."""
        del sums
        return None


class MeanOfImages(ImageParts):
    """A metric that is a mean over images: the parts are (value, 1), or (0, 0) if left out."""

    layout = "value, 1"
    is_mean = True

    def score(self, sums: Parts) -> NDArray[np.float64]:
        """Divide the sum of the values by the number of images; NaN without any."""
        with np.errstate(invalid="ignore"):
            return np.asarray(sums[..., 0] / sums[..., 1])


class TopOne(MeanOfImages):
    """Top-1: the percentage of images whose best class is the true one."""

    def of_results(self, results: Sequence[tuple[str, int, Sequence[int]]]) -> Parts:
        """Take (100 or 0, 1) of what `AccuracyMetric` keeps of every image."""
        return np.array([(100.0 * (best[0] == truth), 1.0) for _, truth, best in results])


class TopOneOfBestK(ImageParts):
    """Top-1 of kNN for the best k: the parts are 100 or 0 for each of K values of k, and 1."""

    layout = "value for each k, 1"

    def of_results(self, results: Sequence[tuple[str, int, Mapping[int, int]]]) -> Parts:
        """Take [N, K + 1] of what `KnnMetric` keeps of every image."""
        rows = [[100.0 * (c == truth) for c in by_k.values()] for _, truth, by_k in results]
        return np.concatenate([np.array(rows), np.ones((len(rows), 1))], axis=1)

    def score(self, sums: Parts) -> NDArray[np.float64]:
        """Choose k anew on every set, as the metric does; NaN without an image."""
        with np.errstate(invalid="ignore"):
            return np.asarray(sums[..., :-1].max(axis=-1) / sums[..., -1])


class TakenForWord(MeanOfImages):
    """The percentage of images whose best class is the word that is written on them."""

    def of_results(self, results: Sequence[tuple[str, tuple[int, int], int]]) -> Parts:
        """Take (100 or 0, 1) of what `TypographicMetric` keeps of every image."""
        return np.array([(100.0 * (best == word), 1.0) for _, (_, word), best in results])


class CorLocHits(MeanOfImages):
    """CorLoc: the percentage of images whose box covers an object."""

    def of_results(self, results: Sequence[Mapping[str, Any]]) -> Parts:
        """Take (100 or 0, 1) of what `CorLocMetric` keeps of every image."""
        found, true = ([r[key] or [] for r in results] for key in ("pred_box", "gt_boxes"))
        hits = corloc_hits(found, true, threshold=results[0]["threshold"])
        return np.stack([100.0 * hits, np.ones(len(hits))], axis=1)


class DepthError(MeanOfImages):
    """One of the nine depth errors, a mean over the images that can be scored.

    Args:
        name: of the error, see `depth_errors`.
    """

    def __init__(self, name: str) -> None:
        self.column = ERRORS.index(name)

    def of_results(self, results: Sequence[tuple[str, Sequence[float]]]) -> Parts:
        """Take (error, 1) of what `DepthMetric` keeps of every image; (0, 0) where it has none."""
        table = np.array([values for _, values in results], dtype=np.float64)
        pixels, not_finite = table[:, len(ERRORS)], table[:, len(ERRORS) + 1]
        scored = (pixels > 0) & (not_finite == 0)
        return np.stack([np.where(scored, table[:, self.column], 0.0), scored], axis=1)


class MeanIoU(ImageParts):
    """mIoU in percent: the parts are areas of intersection, union and truth of all K classes.

    It is mmseg's: a class that occurs in prediction or truth counts, so that one that is predicted
    somewhere and true nowhere has an IoU of 0.
    """

    layout = "areas of intersection, union, truth"

    def of_results(self, results: Sequence[Sequence[Any]]) -> Parts:
        """Take [N, 3 K] of what mmseg's `IoUMetric` keeps, four areas of each class."""
        rows = [np.concatenate([np.asarray(row[area]) for area in (0, 1, 3)]) for row in results]
        return np.stack(rows).astype(np.float64)

    def score(self, sums: Parts) -> NDArray[np.float64]:
        """Average over the classes that occur in prediction or truth; NaN without any."""
        shared, union, _ = np.split(sums, 3, axis=-1)
        return _mean_iou(shared, union, union > 0)

    def drawn_score(self, sums: Parts, whole: Parts) -> NDArray[np.float64]:
        """Average over the classes whose truth was drawn, and keep the share of classes without.

        A set that is drawn of few images lacks the truth of classes that the images hold. Such a
        class is still predicted somewhere, and `score` would count it as 0: with the classes the
        score of nearly every drawn set would fall below that of the images. What no image holds is
        0 in all sets alike.
        """
        shared, union, truth = np.split(sums, 3, axis=-1)
        _, union_of_all, truth_of_all = np.split(whole, 3, axis=-1)
        with np.errstate(invalid="ignore"):
            share = (truth_of_all > 0).sum(axis=-1) / (union_of_all > 0).sum(axis=-1)
        return _mean_iou(shared, union, truth > 0) * share

    def classes(self, sums: Parts) -> ClassCounts:
        """Count the classes of the truth, and those that are true or predicted."""
        _, union, truth = np.split(sums, 3, axis=-1)
        return ClassCounts(int((truth > 0).sum()), int((union > 0).sum()), len(truth))


def _mean_iou(shared: Parts, union: Parts, counts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average IoUs in percent over the classes that count, [..., K] -> [...]; NaN without any."""
    iou = np.divide(shared, union, out=np.full_like(union, np.nan), where=counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN
        return np.asarray(100 * np.nanmean(iou, axis=-1))
