"""Foreground segmentation: what of an image the model attends to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.evaluation.image_parts import MeanIoU
from ttr_backbones.tasks.drawing.foreground import draw_foreground
from ttr_backbones.tasks.metric import Metric
from ttr_backbones.tasks.prediction import Labels, Prediction, Saved
from ttr_backbones.tasks.task import Task


@dataclass(frozen=True)
class Foreground(Prediction):
    """The foreground of an image.

    Args:
        mask: bool [H, W].
        scores: of the foreground, 0 to 1, float32 [H, W].
    """

    mask: NDArray[np.bool_]
    scores: NDArray[np.float32] = field(repr=False)

    def draw(self) -> NDArray[np.uint8]:
        """Draw the image beside the scores, with the outline of the mask; RGB."""
        return draw_foreground(self.image, self.mask, self.scores, title=self.title)

    def saved(self, scale: float | None = None) -> Saved:  # noqa: ARG002
        """Return the mask, 0 and 255."""
        return Saved(pngs={"masks": self.mask.astype(np.uint8) * 255})


class ForegroundSegmentation(Task[Foreground]):
    """Attention of CLS as a mask, scored by the mean IoU of background and foreground."""

    name = "foreground segmentation"
    models = ("AttentionForeground",)
    evaluators = ("ForegroundMetric",)
    metric = Metric("mIoU", "foreground mIoU", "%", "percent", higher_is_better=True, decimals=2)
    image_parts = MeanIoU()
    answer = "pred_mask"
    visualizer = "ForegroundVisualizer"
    trains = False
    output_argument = None

    def prediction(
        self,
        path: Path | None,
        image: NDArray[np.uint8],
        sample: Any,
        labels: Labels,  # noqa: ARG002
        *,
        logits: bool = False,  # noqa: ARG002
    ) -> Foreground:
        """Take mask and scores."""
        scores = sample.pred_scores[1].float().cpu().numpy()
        return Foreground(path, image, sample.pred_mask.cpu().numpy(), scores)
