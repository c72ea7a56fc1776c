"""Object discovery: one box per image, found without training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ttr_backbones.evaluation.image_parts import CorLocHits
from ttr_backbones.tasks.drawing.boxes import draw_boxes
from ttr_backbones.tasks.metric import Metric
from ttr_backbones.tasks.prediction import Labels, Prediction, Saved
from ttr_backbones.tasks.task import Task


@dataclass(frozen=True)
class FoundObject(Prediction):
    """The object that was found in an image.

    Args:
        box: x1, y1, x2, y2 in pixels of `image`, right and bottom excluded, float32 [4].
        seed: (row, column) of the seed patch.
        degrees: the method's score of every patch, lowest at the seed, [h, w].
        collapsed: True if the seed means nothing, because the method could not choose.
        sample: the `BoxSample` with all of it.
    """

    collected = {"boxes.json": "box"}  # noqa: RUF012 -- a ClassVar in `Prediction`

    box: Tensor
    seed: tuple[int, int]
    degrees: Tensor = field(repr=False)
    collapsed: bool
    sample: Any = field(repr=False)

    def draw(self) -> NDArray[np.uint8]:
        """Draw box and seed on the image, beside the degrees; RGB."""
        return draw_boxes(self.image, self.sample, title=self.title)

    def saved(self, scale: float | None = None) -> Saved:  # noqa: ARG002
        """Return box and seed."""
        facts = {"box": self.box.tolist(), "seed": list(self.seed), "collapsed": self.collapsed}
        return Saved(facts=facts)


class ObjectDiscovery(Task[FoundObject]):
    """LOST or TokenCut on the features, scored by CorLoc."""

    name = "object discovery"
    models = ("ObjectDiscoverer",)
    evaluators = ("CorLocMetric",)
    metric = Metric("CorLoc", "CorLoc", "%", "percent", higher_is_better=True, decimals=1)
    image_parts = CorLocHits()
    answer = "pred_box"
    visualizer = "BoxVisualizer"
    trains = False
    output_argument = "output_file"

    def prediction(
        self,
        path: Path | None,
        image: NDArray[np.uint8],
        sample: Any,
        labels: Labels,  # noqa: ARG002
        *,
        logits: bool = False,  # noqa: ARG002
    ) -> FoundObject:
        """Take box, seed and degrees."""
        row, column = divmod(int(sample.seed), sample.degrees.shape[1])
        return FoundObject(
            path,
            image,
            sample.pred_box,
            (row, column),
            sample.degrees,
            bool(sample.collapsed),
            sample,
        )
