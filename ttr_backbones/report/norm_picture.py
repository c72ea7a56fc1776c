"""A picture of patch norms beside the photographs, of any sizes, on one colour scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

_TILE = 2.4  # inches


def draw_norm_maps(
    images: Sequence[NDArray[np.uint8]], columns: Mapping[str, Sequence[Tensor]], *, label: str
) -> NDArray[np.uint8]:
    """Draw one row per image: the photograph, and its norm map under every heading.

    Args:
        images: RGB [H, W, 3] each.
        columns: {heading: norm map [h, w] of each image}.
        label: of the colour bar.

    Returns:
        The picture, RGB.
    """
    maps = {
        name: [norm_map.cpu().numpy() for norm_map in column] for name, column in columns.items()
    }
    every = [norm_map for column in maps.values() for norm_map in column]
    low, high = (
        min(float(norm_map.min()) for norm_map in every),
        max(float(norm_map.max()) for norm_map in every),
    )
    scale = LogNorm(low, high)
    heights = [image.shape[0] / image.shape[1] for image in images]
    figure = Figure(
        figsize=(_TILE * (1 + len(maps)), _TILE * sum(heights) + 1.2), dpi=110, layout="constrained"
    )
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(images), 1 + len(maps), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    axes[0, 0].set_title("input", fontsize=10)
    for axis, image in zip(axes[:, 0], images, strict=True):
        axis.imshow(image)
    for column, (name, norms) in enumerate(maps.items(), start=1):
        largest = max(norm_map.max() for norm_map in norms)
        axes[0, column].set_title(f"{name}\n(largest {largest:.0f})", fontsize=10)
        for axis, norm_map in zip(axes[:, column], norms, strict=True):
            drawn = axis.imshow(norm_map, norm=scale, cmap="viridis", interpolation="nearest")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    bar = figure.colorbar(
        drawn, ax=axes.ravel().tolist(), location="bottom", shrink=0.7, aspect=40, pad=0.02
    )
    bar.set_label(label, fontsize=10)
    ticks = np.geomspace(low, high, 5).tolist()
    bar.set_ticks(ticks, labels=[f"{tick:.0f}" for tick in ticks], minor=False)
    bar.ax.minorticks_off()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
