"""`DepthVisualizer`: draws what a depth model predicts, for mmseg's visualization hook."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from __future__ import annotations

from typing import Any

import mmcv
import numpy as np

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from mmengine.visualization import Visualizer
from mmseg.registry import VISUALIZERS
from numpy.typing import NDArray

from ttr_backbones.tasks.drawing.depth import draw_depth


@VISUALIZERS.register_module()
class DepthVisualizer(Visualizer):
    """Draws image, true and predicted depth side by side, on one scale of metres.

    Arguments are those of mmengine's `Visualizer`.
    """

    def __init__(self, name: str = "visualizer", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._numbers: dict[str, dict[str, int]] = {}

    def add_datasample(
        self,
        name: str,
        image: NDArray[np.uint8],
        data_sample: Any = None,
        *,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
    ) -> None:
        """Draw one sample and hand the picture to the backends, a window or a file.

        Args:
            name: of the picture; a number is added if images of several folders share it.
            image: RGB [H, W, 3].
            data_sample: with `pred_depth_map` and `gt_depth_map` [1, H, W], or one of them.
            show: open a window instead.
            wait_time: seconds that the window stays open; 0 is for ever.
            out_file: write this file instead.
            step: of the run, for the backends.
        """
        picture = draw_depth(
            image, _depth(data_sample, "pred_depth_map"), _depth(data_sample, "gt_depth_map")
        )
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        elif out_file is not None:
            mmcv.imwrite(picture[..., ::-1], out_file)
        else:
            self.add_image(self._apart(name, data_sample), picture, step)

    def _apart(self, name: str, data_sample: Any) -> str:
        """Return a name of its own for each image: KITTI has a 0000000005.png in every drive."""
        numbers = self._numbers.setdefault(name, {})
        number = numbers.setdefault(getattr(data_sample, "img_path", ""), len(numbers))
        return f"{name}_{number}" if number else name


def _depth(data_sample: Any, field: str) -> NDArray[np.float32] | None:
    """Return a depth map of the sample, [H, W]."""
    data = getattr(data_sample, field, None)
    return None if data is None else data.data.detach().squeeze(0).float().cpu().numpy()
