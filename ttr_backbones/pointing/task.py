"""The pointing game as a task: its number, its answer, how that is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from mmseg.registry import VISUALIZERS
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ttr_backbones.tasks import Labels, Metric, Prediction, Saved, Task
from ttr_backbones.tasks.drawing.box_visualizer import BoxVisualizer


@dataclass(frozen=True)
class PointedAt(Prediction):
    """What a model answered about an image, and where that looks.

    Args:
        answer: as text.
        weights: map over the photograph, [y, x].
        boxes: of what was asked for, x1, y1, x2, y2 in pixels.
    """

    answer: str
    weights: NDArray[np.float32] = field(repr=False)
    boxes: list[list[float]] = field(repr=False)

    def draw(self) -> NDArray[np.uint8]:
        """Draw map and boxes on the photograph; RGB."""
        return draw_map(self.image, self.weights, self.boxes)

    def saved(self, scale: float | None = None) -> Saved:  # noqa: ARG002
        """Return the answer."""
        return Saved(facts={"answer": self.answer})


class PointingGame(Task[PointedAt]):
    """A question about a thing, and whether the answer's map has its peak on it."""

    name = "pointing game"
    models = ("PointingVLM",)
    evaluators = ("PointingMetric",)
    metric = Metric(
        "pointing", "pointing accuracy", "%", "percent", higher_is_better=True, decimals=1
    )
    answer = "pred_map"
    visualizer = "PointingVisualizer"
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
    ) -> PointedAt:
        """Take answer, map and boxes."""
        boxes = sample.gt_boxes.tolist() if "gt_boxes" in sample else []
        return PointedAt(path, image, sample.answer, sample.pred_map.cpu().numpy(), boxes)


@VISUALIZERS.register_module()
class PointingVisualizer(BoxVisualizer):
    """For `ttrb test --show-dir`."""

    def picture(self, image: NDArray[np.uint8], sample: Any) -> NDArray[np.uint8]:
        """Draw an image, RGB [H, W, 3], with the sample that a model has filled."""
        boxes = sample.gt_boxes.tolist() if "gt_boxes" in sample else []
        return draw_map(image, sample.pred_map.cpu().numpy(), boxes)


def draw_map(
    image: NDArray[np.uint8], weights: NDArray[np.float32], boxes: list[list[float]]
) -> NDArray[np.uint8]:
    """Lay a map [y, x] over an image, RGB [H, W, 3], with boxes in its pixels."""
    top = max(float(np.percentile(weights, 99)), 1e-12)
    colours = mpl.colormaps["inferno"](np.clip(weights / top, 0, 1), bytes=True)[..., :3]
    size = (image.shape[1], image.shape[0])
    over = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
    picture = Image.blend(Image.fromarray(image), over, 0.6)
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        draw.rectangle(box, outline="#56b4e9", width=3)
    return np.asarray(picture)
