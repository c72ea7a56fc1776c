"""The pointing game as an mmengine metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS

from ttr_backbones.errors import InputError


@METRICS.register_module()
class PointingMetric(BaseMetric):
    """How often the peak of an answer's map lies in a box of what was asked for.

    `pointing`, the share of questions in percent (Zhang et al., 2016); `inside`, the mean share of
    the map in the boxes, beside `area`, what a uniform map would have there; `entropy`, a share of
    uniform attention's; `on_image`, the share of attention on image tokens, all in percent; the
    `largest_norm` of the tower's patches; how many `questions`, and how many of them were left out
    as `unseen`, because the processor cuts their boxes off.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        """Keep the numbers of a batch."""
        for sample in data_samples:
            if "pointing" not in sample:
                raise InputError("PointingMetric needs boxes: put LoadBoxes into the pipeline")
            game = sample["pointing"]
            played = None if game is None else (float(game.hit), game.inside, game.area)
            numbers = [sample[name] for name in ("entropy", "on_image", "largest_norm")]
            self.results.append({"played": played, "numbers": numbers})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Average over what all processes have kept."""
        played = [result["played"] for result in results if result["played"] is not None]
        if not played:
            raise InputError(
                "no question can be scored: what the model sees of each image holds none of its "
                "boxes. Take other images or boxes, or a processor that crops less"
            )
        means = [100 * sum(column) / len(played) for column in zip(*played, strict=True)]
        entropies, shares, norms = zip(*(result["numbers"] for result in results), strict=True)
        return {
            **dict(zip(("pointing", "inside", "area"), means, strict=True)),
            "entropy": 100 * sum(entropies) / len(results),
            "on_image": 100 * sum(shares) / len(results),
            "largest_norm": max(norms),
            # Floats: mmengine writes the whole numbers of a metric into its JSON log as null.
            "questions": float(len(results)),
            "unseen": float(len(results) - len(played)),
        }
