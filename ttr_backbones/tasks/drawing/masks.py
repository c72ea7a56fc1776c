"""A picture of a segmentation: the photograph, the classes over it, and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from numpy.typing import NDArray

_WIDTH, _HEIGHT, _DPI = 5.4, 5.6, 100  # of one panel, inches; pixels per inch
_OPACITY = 0.65
_NAMED = 11  # classes in the legend; small ones would fill pages with 150 classes
_COLUMNS = 4


def draw_mask(
    image: NDArray[np.uint8],
    mask: NDArray[Any],
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    *,
    title: str,
) -> NDArray[np.uint8]:
    """Draw the photograph on the left and its classes over it on the right.

    Args:
        image: RGB [H, W, 3].
        mask: index of the class of each pixel, [H, W].
        classes: names.
        palette: RGB colours [classes, 3].
        title: name of the image.

    Returns:
        The picture, RGB, about 1100 pixels wide, with the largest classes in a legend.
    """
    height, width = image.shape[:2]
    scale = min(_WIDTH / width, _HEIGHT / height)
    numbers, counts = np.unique(mask, return_counts=True)
    order = counts.argsort()[::-1]
    rows = -(-min(len(order), _NAMED + 1) // _COLUMNS)
    size = (max(2 * scale * width + 0.3, 9.0), scale * height + 0.8 + 0.25 * rows)
    figure = Figure(figsize=size, dpi=_DPI, layout=ConstrainedLayoutEngine(h_pad=0.12))
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    left.set_title(title, fontsize=12)
    right.imshow((image * (1 - _OPACITY) + palette[mask] * _OPACITY).astype(np.uint8))
    right.set_title(f"{len(numbers)} {'class' if len(numbers) == 1 else 'classes'}", fontsize=12)
    for axis in (left, right):
        axis.set(xticks=[], yticks=[])
    handles = [
        Patch(
            facecolor=palette[numbers[i]] / 255,
            edgecolor="0.3",
            label=f"{classes[numbers[i]]} {_percent(counts[i] / mask.size)}",
        )
        for i in order[:_NAMED]
    ]
    if len(order) > _NAMED:
        handles.append(Patch(facecolor="none", label=f"and {len(order) - _NAMED} more"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=_COLUMNS, fontsize=11, frameon=False
    )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"
