"""A picture of a depth prediction beside the truth, both on one scale of metres."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

_TILE = 3.6  # inches of width per panel
_MISSING = "0.75"  # a light grey, which the colour map does not have


def draw_depth(
    image: NDArray[np.uint8],
    prediction: NDArray[np.floating] | None,
    truth: NDArray[np.floating] | None,
) -> NDArray[np.uint8]:
    """Draw the image, the true depth and the predicted one, nearest brightest.

    Args:
        image: RGB [H, W, 3].
        prediction: metres [H, W].
        truth: metres [H, W], 0 where it is missing; such pixels are drawn grey, as are pixels of
            the prediction that are not positive and finite.

    Returns:
        The picture, RGB [H', W', 3].
    """
    depths = {"ground truth": truth, "prediction": prediction}
    panels = {name: depth for name, depth in depths.items() if depth is not None}
    known = {name: np.isfinite(depth) & (depth > 0) for name, depth in panels.items()}
    columns = 1 + len(panels)
    height = _TILE * image.shape[0] / image.shape[1] + 0.55
    figure = Figure(figsize=(_TILE * columns + 0.8, height), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    axes[0].imshow(image)
    axes[0].set_title("image", fontsize=10)
    scale = _common_scale([depth[known[name]] for name, depth in panels.items()])
    cmap = colormaps["magma_r"].with_extremes(bad=_MISSING)
    for axis, (name, depth) in zip(axes[1:], panels.items(), strict=True):
        shown = axis.imshow(np.where(known[name], depth, np.nan), norm=scale, cmap=cmap)
        axis.set_title(_headline(name, panels, known), fontsize=10)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    if panels:
        bar = figure.colorbar(shown, ax=list(axes[1:]), pad=0.01, aspect=25)
        bar.set_label("depth in metres", fontsize=9)
        bar.ax.invert_yaxis()  # near at the top, as the eye reads
    for axis, name in zip(axes[1:], panels, strict=True):
        if not known[name].all():
            missing = Patch(facecolor=_MISSING, edgecolor="0.3", label="no depth")
            axis.legend(handles=[missing], loc="lower right", fontsize=8)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _common_scale(depths: list[NDArray[np.floating]]) -> Normalize:
    """Return the range of all values, one for truth and prediction."""
    values = np.concatenate([depth.ravel() for depth in depths]) if depths else np.zeros(0)
    if not values.size:
        return Normalize(0, 1)
    return Normalize(float(values.min()), float(values.max()))


def _headline(
    name: str, panels: dict[str, NDArray[np.floating]], known: dict[str, NDArray[np.bool_]]
) -> str:
    if name != "prediction" or len(panels) < 2:
        return name
    both = known["prediction"] & known["ground truth"]
    if not both.any():
        return name
    errors = panels["prediction"][both] - panels["ground truth"][both]
    return f"{name}: RMSE {np.sqrt(np.mean(np.square(errors))):.2f} m, all pixels"
