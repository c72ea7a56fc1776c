"""Pictures of object discovery: seed, box and truth on the photograph, beside the degrees."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ttr_backbones.evaluation import box_iou

Style = dict[str, Any]
# Okabe and Ito's colours, which colour-blind readers tell apart too.
FOUND: Style = {"color": "#e69f00", "linestyle": "-", "linewidth": 3}
TRUE: Style = {"color": "#56b4e9", "linestyle": "--", "linewidth": 3}
SEED: Style = {
    "color": "#d55e00",
    "linestyle": "",
    "marker": "o",
    "markersize": 12,
    "markeredgecolor": "white",
    "markeredgewidth": 2,
}
_WIDTH, _HEIGHT, _DPI = 5.4, 5.6, 100  # of one panel, inches; pixels per inch
_MATCH = 0.5  # the IoU of CorLoc


def draw_boxes(image: NDArray[np.uint8], sample: Any, *, title: str) -> NDArray[np.uint8]:
    """Draw the photograph with its boxes on the left and the method's degrees on the right.

    Args:
        image: RGB [H, W, 3], as it lies on disk.
        sample: a `BoxSample` with what the model found in it.
        title: name of the image.

    Returns:
        The picture, RGB, about 1200 pixels wide.
    """
    height, width = image.shape[:2]
    scale = min(_WIDTH / width, _HEIGHT / height)
    size = (max(2 * scale * width + 1.2, 8.0), max(scale * height, 1.5) + 1.2)
    figure = Figure(figsize=size, dpi=_DPI, layout=ConstrainedLayoutEngine(h_pad=0.12))
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    left.set_title(f"{title}\n{_verdict(sample)}", fontsize=12)
    patch = _patch_size(sample, (height, width))
    _draw_degrees(figure, right, sample.degrees.cpu().numpy(), patch)
    for box in sample.get("gt_boxes", []):
        _outline(left, box.tolist(), **TRUE)
    for axis in (left, right):
        _outline(axis, sample.pred_box.tolist(), **FOUND)
        _mark_seed(axis, sample, patch)
        axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    shown = [("box that was found", FOUND), ("seed patch", SEED)]
    if len(sample.get("gt_boxes", [])):
        shown.insert(0, ("true boxes", TRUE))
    handles = [Line2D([], [], label=label, **style) for label, style in shown]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        fontsize=12,
        handlelength=3,
        frameon=False,
    )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _verdict(sample: Any) -> str:
    collapsed = "collapsed: the seed means nothing" if sample.get("collapsed", False) else ""
    if not len(sample.get("gt_boxes", [])):
        return collapsed or "no ground truth"
    best = box_iou(sample.pred_box.cpu(), sample.gt_boxes.cpu()).max()
    verdict = f"IoU {best:.2f}: {'found' if best >= _MATCH else 'missed'}"
    return f"{verdict} ({collapsed})" if collapsed else verdict


def _patch_size(sample: Any, size: tuple[int, int]) -> tuple[float, float]:
    """Height and width of a patch, in pixels of the photograph."""
    return tuple(
        patch * model_side / seen
        for patch, model_side, seen in zip(sample.patch_size, size, sample.img_shape, strict=True)
    )


def _draw_degrees(
    figure: Figure, axis: Axes, degrees: NDArray[Any], patch: tuple[float, float]
) -> None:
    h, w = degrees.shape
    if np.issubdtype(degrees.dtype, np.integer):  # LOST counts the patches that are similar
        shown, name = 1 / (1 + degrees), "inverse degree"
        what = "1 / (1 + number of similar patches)"
        low, high = shown.min(), max(shown.max(), 1.01 * shown.min())
        norm: Normalize = LogNorm(low, high)
        ticks = np.geomspace(low, high, 4).tolist()
        labels = [f"1/{1 / value:.0f}" for value in ticks]
    else:
        shown, name, what = -degrees, "score", "highest at the seed"
        norm = Normalize(shown.min(), max(shown.max(), shown.min() + 1e-9))
        ticks = np.linspace(shown.min(), shown.max(), 4).tolist()
        labels = [f"{value:.2g}" for value in ticks]
    # The zeros that filled up the last patches lie outside of the photograph, and are cut off.
    drawn = axis.imshow(
        shown,
        norm=norm,
        cmap="viridis",
        interpolation="nearest",
        extent=(0, w * patch[1], h * patch[0], 0),
    )
    axis.set_title(name, fontsize=12)
    bar = figure.colorbar(drawn, ax=axis, shrink=0.9, aspect=30, pad=0.02)
    bar.set_label(what, fontsize=12)
    bar.set_ticks(ticks, labels=labels, minor=False)
    bar.ax.tick_params(labelsize=11)
    bar.ax.minorticks_off()


def _outline(axis: Axes, box: list[float], **style: Any) -> None:
    """Draw a box with a dark rim, which tells it from bright and coloured backgrounds."""
    x1, y1, x2, y2 = box
    (line,) = axis.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], **style)
    line.set_path_effects([withStroke(linewidth=5, foreground="black", alpha=0.6)])
    line.set_clip_on(False)  # half of a line on the image's border would be cut off


def _mark_seed(axis: Axes, sample: Any, patch: tuple[float, float]) -> None:
    row, column = divmod(int(sample.seed), sample.degrees.shape[1])
    axis.plot((column + 0.5) * patch[1], (row + 0.5) * patch[0], **SEED, clip_on=False)
