"""The visualizer of classification, for `--show-dir` and `--show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmseg.registry import VISUALIZERS
from numpy.typing import NDArray

from ttr_backbones.tasks.drawing.box_visualizer import BoxVisualizer
from ttr_backbones.tasks.drawing.classes import draw_classes


@VISUALIZERS.register_module()
class ClassVisualizer(BoxVisualizer):
    """Draws every image with its best classes; mmseg's SegVisualizationHook calls it.

    Of kNN, the share of the numbers of neighbours k that agree stands for a probability. Arguments
    are those of mmengine's `Visualizer`.
    """

    def picture(self, image: NDArray[np.uint8], sample: Any) -> NDArray[np.uint8]:
        """Draw an image, RGB [H, W, 3], with the `ClassSample` that a model has filled."""
        names = (self.dataset_meta or {}).get("classes") or ()

        def name(number: int) -> str:
            return names[number] if names else f"class {number}"

        if "pred_by_k" in sample:
            found = list(sample.pred_by_k.values())
            numbers = sorted(set(found), key=lambda number: -found.count(number))
            scores = [found.count(number) / len(found) for number in numbers]
        else:
            numbers, scores = sample.pred_classes.tolist(), sample.pred_scores.tolist()
        return draw_classes(
            image,
            [name(number) for number in numbers],
            scores,
            title=Path(sample.img_path).name,
            truth=name(sample.gt_label) if "gt_label" in sample else None,
        )
