"""Photographs with maps of their patches beside them: the layout of most figures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from torch import Tensor

from ttr_backbones.report.columns import column_title
from ttr_backbones.report.inspection import Inspection

DPI = 200
_TILE, _SMALL_TILE = 1.6, 1.0  # inches
_MARGIN, _BETWEEN = 0.08, 0.1
_GAP, _APART = 0.02, 0.1  # of a tile: around each, and between rows that belong together
_NARROWEST = 4.5  # so that a heading has its place
_CLIPPED = 0.98  # one spike would leave a linear scale all black: brighter patches are clipped


@dataclass(frozen=True)
class Maps:
    """Columns of maps on one colour scale, with one colour bar.

    Args:
        titles: one per column.
        columns: maps [R, h, w] per column, or colours [R, h, w, 3].
        label: what the colours mean, with the unit.
        cmap: colour map; None for colours.
        norm: the scale; None for colours.
    """

    titles: Sequence[str]
    columns: Sequence[NDArray[Any]]
    label: str
    cmap: str | None = None
    norm: Normalize | None = None


def photographs_with_maps(
    images: NDArray[np.uint8],
    groups: Sequence[Maps],
    *,
    title: str,
    rows: Sequence[str] = (),
    tile: float = _TILE,
    together: int = 1,
) -> Figure:
    """Draw one row per photograph: itself, then the columns of every group.

    Everything has a fixed place: matplotlib's layouts would let the rows of the groups drift apart.

    Args:
        images: RGB uint8 [R, H, W, 3].
        groups: what lies beside them.
        title: heading; broken into lines of the figure's width.
        rows: a label per row.
        tile: height of one map in inches.
        together: so many rows each belong together.
    """
    wide = tile * images.shape[2] / images.shape[1]
    groups = [Maps(["image"], [images], ""), *groups]
    widths = [wide * len(group.columns) for group in groups]
    left = 0.5 if rows else _MARGIN
    width = max(left + sum(widths) + _BETWEEN * (len(groups) - 1) + _MARGIN, _NARROWEST)
    height = tile * (_top(len(images) - 1, together) + 1)
    heading = "\n".join(textwrap.fill(line, round(14 * width)) for line in title.splitlines())
    below = 0.75 if any(group.label for group in groups) else _MARGIN
    above = 0.62 + 0.16 * heading.count("\n")
    size = (width, below + height + above)
    figure = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(figure)
    figure.text(0.5, 1 - 0.05 / size[1], heading, fontsize=9, ha="center", va="top")

    def place(x: float, y: float, w: float, h: float) -> Axes:  # in inches
        return figure.add_axes((x / size[0], y / size[1], w / size[0], h / size[1]))

    for group, wide_group in zip(groups, widths, strict=True):
        axis = place(left, below, wide_group, height)
        axis.set_yticks([])
        drawn = _draw_tiles(axis, group, wide / tile, together)
        if group.norm is not None:
            bar = place(left + 0.05, below - 0.15, wide_group - 0.1, 0.08)
            figure.colorbar(drawn, cax=bar, orientation="horizontal")
            bar.set_xlabel(group.label, fontsize=7, labelpad=2)
            if isinstance(group.norm, LogNorm):
                plain_log_ticks(bar.xaxis)
            bar.tick_params(labelsize=6, pad=2)
        else:
            axis.set_xlabel(group.label, fontsize=7)
        left += wide_group + _BETWEEN
    middles = [_top(row, together) + 0.5 for row in range(len(rows))]
    figure.axes[0].set_yticks(middles, rows, rotation=90, va="center", fontsize=7)
    return figure


def photographs_in_pairs(
    inspections: Sequence[Inspection],
    images: NDArray[np.uint8],
    maps: Sequence[NDArray[Any]],
    *,
    names: Sequence[str],
    label: str,
    cmap: str,
    norm: Normalize,
    title: str,
) -> Figure:
    """Draw one row per photograph and kind of registers, the kinds under each other.

    Args:
        inspections: one per kind.
        images: RGB uint8 [B, H, W, 3].
        maps: [B, columns, h, w] per kind.
        names: one per column.
        label: what the colours mean, with the unit.
        cmap: colour map.
        norm: its scale.
        title: heading.
    """
    rows = np.stack(maps, axis=1).reshape(-1, *maps[0].shape[1:])  # [B * kinds, columns, h, w]
    return photographs_with_maps(
        images.repeat(len(maps), axis=0),
        [Maps(names, list(rows.swapaxes(0, 1)), label, cmap, norm)],
        title=title,
        rows=titles(inspections, "\n") * len(images),
        tile=_SMALL_TILE,
        together=len(maps),
    )


def titles(inspections: Sequence[Inspection], between: str = " ") -> list[str]:
    """Name the kinds of registers."""
    return [column_title(inspection.registers, between) for inspection in inspections]


def _draw_tiles(axis: Axes, group: Maps, width: float, together: int) -> AxesImage:
    """Lay the maps out in one axis, in tiles of height 1; an axis for each would take minutes."""
    for x, maps in enumerate(group.columns):
        for row, of_kind in enumerate(maps):
            y = _top(row, together)
            drawn = axis.imshow(
                of_kind,
                norm=group.norm,
                cmap=group.cmap,
                interpolation="nearest" if group.label else "antialiased",
                extent=((x + _GAP) * width, (x + 1 - _GAP) * width, y + 1 - _GAP, y + _GAP),
                aspect="auto",
            )
    bottom = _top(len(group.columns[0]) - 1, together) + 1
    axis.set(xlim=(0, len(group.columns) * width), ylim=(bottom, 0))
    centres = (0.5 + np.arange(len(group.columns))) * width
    axis.set_xticks(centres, group.titles, fontsize=8)
    axis.tick_params(length=0, labeltop=True, labelbottom=False, pad=2)
    axis.spines[:].set_visible(False)
    return drawn


def plain_log_ticks(axis: Axis) -> None:
    """Label 1, 2, 5, 10, ... in plain numbers, at narrow and at wide ranges."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _top(row: int, together: int) -> float:
    """Where a row begins, in tiles."""
    return row + (_APART * (row // together) if together > 1 else 0)


def relative(maps: Sequence[Tensor]) -> list[NDArray[Any]]:
    """Scale non-negative maps [..., h, w] so that 1 is the 98th percentile over all of them.

    Every index in front has a scale of its own, the same one in all of `maps`.
    """
    together = np.stack([tensor.numpy() for tensor in maps])  # [K, ..., h, w]
    top = np.quantile(together, _CLIPPED, axis=(0, -2, -1), keepdims=True)
    return list(together / np.maximum(top, 1e-30))
