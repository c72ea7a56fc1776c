"""Pictures at print quality: perceptual colour maps, one scale before and after, labelled units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from torch import Tensor

if TYPE_CHECKING:
    from ttr_backbones.report.artifacts import Comparison, Measured

_TILE = 2.1  # inches


def draw_comparison(
    comparison: Comparison, squares: np.ndarray, path: str | Path, *, title: str
) -> None:
    """Draw one row per image: the image, its norm maps and CLS attention before and after.

    Args:
        comparison: what was measured on B images.
        squares: the images, RGB uint8 [B, H, W, 3].
        path: the PNG to write.
        title: model and input size, for the heading.
    """
    has_attention = comparison.before.attention is not None
    columns = 5 if has_attention else 3
    figure = Figure(
        figsize=(_TILE * columns + 0.4, _TILE * len(squares) + 1.35), dpi=150, layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{title}: outlier patches {comparison.outlier_fraction(comparison.before):.1%} before, "
        f"{comparison.outlier_fraction(comparison.after):.1%} with a test-time register",
        fontsize=11,
    )
    axes = figure.subplots(len(squares), columns, squeeze=False)
    for row, square in zip(axes, squares, strict=True):
        row[0].imshow(square)
    axes[0, 0].set_title("image", fontsize=9)
    block = comparison.block
    _draw_pair(
        figure,
        axes[:, 1:3],
        [m.norms[block].cpu().numpy() for m in (comparison.before, comparison.after)],
        names=[_headline("norm", comparison, m) for m in (comparison.before, comparison.after)],
        label=f"L2 norm of the patches after block {block} (log scale)",
        cmap="viridis",
        norm=LogNorm(*_range(comparison)),
    )
    if comparison.before.attention is not None and comparison.after.attention is not None:
        _draw_pair(
            figure,
            axes[:, 3:5],
            _relative([comparison.before.attention, comparison.after.attention]),
            names=["CLS attention,\nwithout", "CLS attention,\nwith register"],
            label="CLS attention, last block, mean over heads\n"
            "(1 = 99th percentile of the image's two maps)",
            cmap="magma",
            norm=Normalize(0, 1),
        )
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(path)


def _range(comparison: Comparison) -> tuple[float, float]:
    """Smallest and largest norm before and after, the ends of the common colour scale."""
    both = [m.norms[comparison.block] for m in (comparison.before, comparison.after)]
    return min(float(n.min()) for n in both), max(float(n.max()) for n in both)


def _relative(pair: Sequence[Tensor]) -> list[np.ndarray]:
    """Scale the maps [B, h, w] of each image by one number, the same before and after.

    One spike would leave a linear scale all black, so that number is the 99th percentile.
    """
    both = np.stack([maps.cpu().numpy() for maps in pair])
    return list(both / np.quantile(both, 0.99, axis=(0, 2, 3), keepdims=True)[0])


def _headline(what: str, comparison: Comparison, measured: Measured) -> str:
    how = "without" if measured is comparison.before else "with register"
    return f"{what}, {how}\n(largest {comparison.largest_norm(measured):.0f})"


def _draw_pair(
    figure: Figure,
    axes: Any,
    pair: Sequence[np.ndarray],
    *,
    names: Sequence[str],
    label: str,
    cmap: str,
    norm: Normalize,
) -> None:
    """Draw two columns of maps [B, h, w] on one colour scale, with one colour bar."""
    for column, (maps, name) in enumerate(zip(pair, names, strict=True)):
        axes[0, column].set_title(name, fontsize=9)
        for axis, one in zip(axes[:, column], maps, strict=True):
            drawn = axis.imshow(one, norm=norm, cmap=cmap, interpolation="nearest")
    bar = figure.colorbar(
        drawn, ax=axes.ravel().tolist(), location="bottom", shrink=0.9, aspect=40, pad=0.02
    )
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
