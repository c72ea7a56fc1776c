"""The visualizer of object discovery, for `--show-dir` and `--show`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.visualization import LocalVisBackend, Visualizer
from mmseg.registry import VISUALIZERS
from numpy.typing import NDArray

from ttr_backbones.tasks.drawing.boxes import draw_boxes


@VISUALIZERS.register_module()
class BoxVisualizer(Visualizer):
    """Draws every image with its seed, boxes and degrees; mmseg's SegVisualizationHook calls it.

    Arguments are those of mmengine's `Visualizer`.
    """

    def __init__(self, name: str = "visualizer", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._drawn: Counter[str] = Counter()

    def add_datasample(
        self,
        name: str,
        image: NDArray[np.uint8],
        data_sample: Any = None,
        show: bool = False,
        wait_time: float = 0,
        **_: Any,
    ) -> None:
        """Draw an image, RGB [H, W, 3], with the sample that a model has filled.

        The picture is saved as `name` with a number, which tells images of equal names in several
        folders apart. Each process of a distributed test saves its own images.
        """
        picture = self.picture(image, data_sample)
        rank, processes = get_dist_info()
        number = self._drawn[name] * processes + rank
        self._drawn[name] += 1
        if show and rank == 0:
            self.show(picture, win_name=name, wait_time=wait_time)
        for backend in self._vis_backends.values():
            if rank == 0 or isinstance(backend, LocalVisBackend):  # one process feeds a tracker
                backend.add_image(name, picture, step=number)

    def picture(self, image: NDArray[np.uint8], sample: Any) -> NDArray[np.uint8]:
        """Draw an image, RGB [H, W, 3], with the `BoxSample` that a model has filled."""
        return draw_boxes(image, sample, title=Path(sample.img_path).name)
