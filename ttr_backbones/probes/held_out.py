"""What choosing a head is worth on images that the choice has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ttr_backbones.evaluation.image_parts import Parts
from ttr_backbones.evaluation.split_half import held_out_scores, random_halves
from ttr_backbones.tasks import Task

SPLITS, SEED = 100, 0  # as `ttrb sweep --cross-validate`


class HeldOutChoice:
    """Chooses the best head on one half of the validation images and scores it on the other.

    It is made of what the metrics have kept of every image, so no image is seen twice. All heads
    count as settings, also those that differ in their seed alone: so does the choice of the best.

    Args:
        task: what the heads do.
        key: the metric that ranks them.
    """

    def __init__(self, task: Task[Any], key: str) -> None:
        self.task, self.key = task, key
        self.kind = task.image_parts_of(key)
        self._parts: dict[str, Parts] = {}

    def add(self, name: str, results: Sequence[Any]) -> None:
        """Take what the metric of a head has kept of every image, in place of an earlier one's."""
        self._parts.pop(name, None)
        if self.kind is not None and results:
            self._parts[name] = self.kind.of_results(results)

    def row(
        self, values: Mapping[str, float], *, higher_is_better: bool
    ) -> tuple[dict[str, Any] | None, str]:
        """Choose among some heads, and forget all images.

        Args:
            values: the metric of each on all images; those that have diverged are left out.
            higher_is_better: its direction.

        Returns:
            Mean and standard deviation of the held-out score over the splits, the score of the
            same heads on the halves that chose them, the best value on all images, and the head
            chosen most often. None where there is no such score, and why.
        """
        parts = {name: self._parts[name] for name in values if name in self._parts}
        self._parts = {}
        if why := self._obstacle(parts, values):
            return None, why
        assert self.kind is not None
        names, of_heads = list(parts), np.stack(list(parts.values()))
        halves = random_halves(of_heads.shape[1], SPLITS, SEED)
        found = held_out_scores(
            of_heads, halves, self.kind.score, higher_is_better=higher_is_better
        )
        if not (np.isfinite(found.scores).all() and np.isfinite(found.seen).all()):
            return None, "some half has no image that can be scored"
        most, share = found.most_chosen()
        row = {
            "held_out": float(found.scores.mean()),
            "std": float(found.scores.std()),
            "chosen_on": float(found.seen.mean()),
            "all_images": (max if higher_is_better else min)(values.values()),
            "splits": SPLITS,
            "images": of_heads.shape[1],
            "probe": names[most],
            "chosen": share,
        }
        return row, ""

    def _obstacle(self, parts: Mapping[str, Parts], values: Mapping[str, float]) -> str | None:
        """Say what stands in the way of a held-out score; None if nothing does."""
        if len(values) < 2:
            return "one head, so nothing is chosen"
        if self.kind is None or len(parts) < len(values):
            return f"{self.key} is not known for single images"
        if min(map(len, parts.values())) < 2:
            return "one image, and halves need two"
        percent = self.task.metric.unit == "%"
        for name, of_head in parts.items():
            if why := self.kind.mismatch(of_head, values[name], percent=percent):
                return f"{name}: {why}"
        return None


def held_out_score(row: Mapping[str, Any], key: str) -> str:
    """Put mean and standard deviation of a row into words."""
    return f"held out: {key} {row['held_out']:.4g} ± {row['std']:.2g}"


def held_out_line(row: Mapping[str, Any], key: str) -> str:
    """Put a row into words.

    A half may lack classes, so its mIoU is over fewer: what the choice adds is the distance to the
    score on the half that chose, which is as large.
    """
    return (
        f"{held_out_score(row, key)}: the best head is chosen on one half of the {row['images']} "
        f"images and reported on the other, {row['splits']} splits "
        f"({row['chosen_on']:.4g} on the half that chose; the best of all on all images: "
        f"{row['all_images']:.4g}). Chosen most often: {row['probe']}, {row['chosen']:.0%} of the "
        "halves"
    )
