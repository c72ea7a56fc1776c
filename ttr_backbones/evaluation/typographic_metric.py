"""How often a written word changes what a model sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.registry import METRICS

from ttr_backbones.errors import InputError
from ttr_backbones.evaluation.accuracy_metric import AccuracyMetric


@METRICS.register_module()
class TypographicMetric(AccuracyMetric):
    """Percentage of images taken for their object, and of images taken for their word.

    `accuracy` is what Defense-Prefix reports. `attack_success` counts the images whose best class
    is the written word; the paper of test-time registers reports a number of that name without
    defining it, so that this is our reading of it. Reads `gt_label`, `written_label` and
    `pred_classes`; arguments are those of `AccuracyMetric`.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:  # noqa: ARG002
        """Keep the object, the word and the best class of each image."""
        for sample in data_samples:
            if "written_label" not in sample or "gt_label" not in sample:
                raise InputError(
                    f"the image {sample.get('img_path')} comes without its object or its word: "
                    "expected `gt_label` and `written_label`, as TypographicAttacks gives them"
                )
            labels = (int(sample["gt_label"]), int(sample["written_label"]))
            best = int(sample["pred_classes"][0])
            self.results.append((str(sample.get("img_path")), labels, best))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Score and save what all processes have kept."""
        self.save([path for path, _, _ in results], [best for _, _, best in results])
        right = sum(best == truth for _, (truth, _), best in results)
        fooled = sum(best == written for _, (_, written), best in results)
        return {
            "accuracy": round(100 * right / len(results), 3),
            "attack_success": round(100 * fooled / len(results), 3),
        }
