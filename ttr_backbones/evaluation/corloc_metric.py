"""CorLoc as an mmengine metric, which also saves the boxes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS

from ttr_backbones.atomic import write_atomically
from ttr_backbones.evaluation.corloc import corloc


@METRICS.register_module()
class CorLocMetric(BaseMetric):
    """Percentage of images whose box matches a true one, and the number of images.

    Reads `pred_box` [4] and `collapsed` of every sample, and `gt_boxes` [M, 4] if it is there.
    Without ground truth there is no CorLoc, only the counts.

    Args:
        output_file: JSON file for the boxes: {file name: [x1, y1, x2, y2]}, the name relative to
            the folder that holds all images. A name that does not end in .json is a folder, and the
            file is `boxes.json` in it.
        iou: the smallest IoU that counts.
        **kwargs: as for mmengine's `BaseMetric`.
    """

    def __init__(
        self, output_file: str | Path | None = None, iou: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.output_file = None if output_file is None else Path(output_file).expanduser()
        if self.output_file is not None and self.output_file.suffix != ".json":
            self.output_file /= "boxes.json"
        self.iou = iou

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        """Keep the boxes of a batch."""
        for sample in data_samples:
            gt = sample.get("gt_boxes")
            self.results.append(
                {
                    "img_path": sample["img_path"],
                    "pred_box": sample["pred_box"].tolist(),
                    "gt_boxes": None if gt is None else gt.tolist(),
                    "collapsed": bool(sample.get("collapsed", False)),
                    "threshold": self.iou,
                }
            )

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Score and save what all processes have kept."""
        if self.output_file is not None:
            _save(results, self.output_file)
        # Floats: mmengine writes the whole numbers of a metric into its JSON log as null.
        collapsed = sum(result["collapsed"] for result in results)
        counts = {"images": float(len(results)), "collapsed": float(collapsed)}
        if all(result["gt_boxes"] is None for result in results):
            return counts
        found, true = ([r[key] or [] for r in results] for key in ("pred_box", "gt_boxes"))
        return {"CorLoc": round(corloc(found, true, threshold=self.iou), 2), **counts}


def _save(results: list[dict[str, Any]], path: Path) -> None:
    files = [Path(result["img_path"]).absolute() for result in results]
    folder = os.path.commonpath([file.parent for file in files])
    boxes = {
        file.relative_to(folder).as_posix(): result["pred_box"]
        for file, result in zip(files, results, strict=True)
    }
    write_atomically(path, json.dumps(boxes).encode())
