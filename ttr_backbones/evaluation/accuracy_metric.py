"""Top-1 and top-5 as mmengine metrics, which also save the predicted classes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmseg.registry import METRICS

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError


class _SavingMetric(BaseMetric):
    """A metric that can save one class per image.

    Args:
        output_file: JSON file for the classes: {file name: name of the class}, the name relative to
            the folder that holds all images. A name that does not end in .json is a folder, and
            the file is `classes.json` in it.
        **kwargs: as for mmengine's `BaseMetric`.
    """

    def __init__(self, output_file: str | Path | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_file = None if output_file is None else Path(output_file).expanduser()
        if self.output_file is not None and self.output_file.suffix != ".json":
            self.output_file /= "classes.json"

    def save(self, files: Sequence[str], classes: Sequence[int]) -> None:
        """Write the classes, if a file was asked for."""
        if self.output_file is None:
            return
        names = (self.dataset_meta or {}).get("classes") or ()
        paths = [Path(file).absolute() for file in files]
        folder = os.path.commonpath([path.parent for path in paths])
        content = {
            path.relative_to(folder).as_posix(): names[number] if names else number
            for path, number in zip(paths, classes, strict=True)
        }
        write_atomically(self.output_file, json.dumps(content, indent=1).encode())


@METRICS.register_module()
class AccuracyMetric(_SavingMetric):
    """Percentage of images whose true class is the best one, and among the best five.

    Reads `gt_label` and `pred_classes` of every sample; see `_SavingMetric` for the arguments.
    There is no top-5 of less than six classes.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:  # noqa: ARG002
        """Keep the true class and the best classes of each image."""
        for sample in data_samples:
            best = sample["pred_classes"].tolist()
            self.results.append((str(sample.get("img_path")), _truth(sample), best))

    def compute_metrics(self, results: list[tuple[str, int, list[int]]]) -> dict[str, float]:
        """Score and save what all processes have kept."""
        self.save([path for path, _, _ in results], [best[0] for _, _, best in results])
        first = sum(best[0] == truth for _, truth, best in results)
        metrics = {"top1": 100 * first / len(results)}
        if len((self.dataset_meta or {}).get("classes") or range(6)) > 5:
            among = sum(truth in best for _, truth, best in results)
            metrics["top5"] = 100 * among / len(results)
        return {name: round(value, 3) for name, value in metrics.items()}


@METRICS.register_module()
class KnnMetric(_SavingMetric):
    """Percentage of images that k nearest neighbours classify right, for each k.

    Reads `gt_label` and `pred_by_k` of every sample; see `_SavingMetric` for the arguments. `top1`
    is that of the best k, which is what DINOv2 quotes: it is chosen on the images of the test.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:  # noqa: ARG002
        """Keep the classes of a batch."""
        for sample in data_samples:
            row = (str(sample.get("img_path")), _truth(sample), dict(sample["pred_by_k"]))
            self.results.append(row)

    def compute_metrics(self, results: list[tuple[str, int, dict[int, int]]]) -> dict[str, float]:
        """Score every k, and name the best."""
        scores = {
            k: 100 * sum(found[k] == truth for _, truth, found in results) / len(results)
            for k in results[0][2]
        }
        best = max(scores, key=lambda k: scores[k])
        self.save([path for path, _, _ in results], [found[best] for _, _, found in results])
        MMLogger.get_current_instance().info(
            f"kNN: the best k is {best}, top-1 {scores[best]:.2f} %. It was chosen on the images "
            "of the test."
        )
        by_k = {f"top1_k{k}": round(score, 3) for k, score in scores.items()}
        return {"top1": round(scores[best], 3), "best_k": float(best), **by_k}


def _truth(sample: Mapping[str, Any]) -> int:
    if "gt_label" not in sample:
        raise InputError(
            f"the image {sample.get('img_path')} has no true class to score by: expected "
            "`gt_label`, as the data set ClassFolders gives it"
        )
    return int(sample["gt_label"])
