"""Pictures of foreground segmentation: the photograph beside what is attended to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from mmseg.registry import VISUALIZERS
from numpy.typing import NDArray

from ttr_backbones.tasks.drawing.box_visualizer import BoxVisualizer


def draw_foreground(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    scores: NDArray[Any],
    *,
    title: str,
) -> NDArray[np.uint8]:
    """Draw a photograph on the left and the scores with the outline of the mask on the right.

    Args:
        image: RGB [H, W, 3].
        mask: of the foreground, [H, W].
        scores: of the foreground, 0 to 1, [H, W].
        title: name of the image.

    Returns:
        The picture, RGB, 900 x 480 pixels.
    """
    figure = Figure(figsize=(9, 4.8), dpi=100, layout=ConstrainedLayoutEngine(h_pad=0.12))
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    left.set_title(title, fontsize=12)
    right.imshow(scores, cmap="viridis", vmin=0, vmax=1)
    if mask.any() and not mask.all():
        right.contour(mask, levels=[0.5], colors="white", linewidths=2)
    right.set_title(f"attention, {100 * mask.mean():.0f} % above its mean", fontsize=12)
    for axis in (left, right):
        axis.set(xticks=[], yticks=[])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@VISUALIZERS.register_module()
class ForegroundVisualizer(BoxVisualizer):
    """Draws every image with its foreground; mmseg's SegVisualizationHook calls it.

    Arguments are those of mmengine's `Visualizer`.
    """

    def picture(self, image: NDArray[np.uint8], sample: Any) -> NDArray[np.uint8]:
        """Draw an image, RGB [H, W, 3], with the `ForegroundSample` that a model has filled."""
        mask, scores = sample.pred_mask.cpu().numpy(), sample.pred_scores[1].float().cpu().numpy()
        return draw_foreground(image, mask, scores, title=Path(sample.img_path).name)
