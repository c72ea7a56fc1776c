"""Figures that need no more than the numbers of a summary: norms per block, histograms, places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ttr_backbones.report.columns import column_colour, column_title
from ttr_backbones.report.figures.maps import DPI, plain_log_ticks

Summary = dict[str, Any]
_TOKENS = {"patch": "#56b4e9", "cls": "#e69f00", "register": "#009e73"}
_NAMES = {"patch": "patches", "cls": "CLS token", "register": "registers"}
_LARGEST: dict[str, Any] = {"marker": "o", "markersize": 3}
_MEDIAN: dict[str, Any] = {"linestyle": "--"}
_REGISTER: dict[str, Any] = {"linestyle": ":", "marker": "^", "markersize": 4}
_BLACK = "#000000"


def draw_blocks(summary: Summary, *, title: str) -> Figure:
    """Draw largest and median norm after every block, and the share of outliers among patches."""
    figure = _figure(7.2, 3.4, title)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    for kind, numbers in summary["registers"].items():
        blocks = range(len(numbers["largest_norm"]))
        colour = column_colour(kind)
        left.plot(blocks, numbers["largest_norm"], color=colour, **_LARGEST)
        left.plot(blocks, numbers["median_norm"], color=colour, **_MEDIAN)
        if numbers["register_norm"] is not None:
            left.plot(blocks, numbers["register_norm"], color=colour, **_REGISTER)
        right.plot(blocks, numbers["outlier_fraction_per_block"], color=colour, **_LARGEST)
    handles = [
        _line(color=column_colour(kind), label=column_title(kind)) for kind in summary["registers"]
    ]
    handles += [
        _line(color="grey", **_LARGEST, label="largest patch"),
        _line(color="grey", **_MEDIAN, label="median patch"),
    ]
    if any(n["register_norm"] is not None for n in summary["registers"].values()):
        handles.append(_line(color="grey", **_REGISTER, label="registers, mean"))
    if summary["threshold"] is not None:
        left.axhline(summary["threshold"], color=_BLACK, linewidth=0.7)
        handles.append(_line(color=_BLACK, linewidth=0.7, label="outlier above"))
    left.set_yscale("log")
    plain_log_ticks(left.yaxis)
    left.set_ylabel("L2 norm (log scale)", fontsize=9)
    right.yaxis.set_major_locator(MaxNLocator(5))
    right.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    right.set_ylim(0, max(right.get_ylim()[1], 0.01))
    right.set_ylabel("outliers among the patches", fontsize=9)
    for axis in (left, right):
        axis.set_xlabel("after block", fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return _plain(figure)


def draw_histograms(summary: Summary, *, title: str) -> Figure:
    """Draw how many tokens of each kind have which norm, one row per kind of registers."""
    kinds = summary["registers"]
    figure = _figure(6.4, 1.2 + 1.7 * len(kinds), title)
    axes = figure.subplots(len(kinds), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    edges = np.array(summary["histogram_edges"])
    for axis, (kind, numbers) in zip(axes, kinds.items(), strict=True):
        for token, colour in _TOKENS.items():
            counts = numbers["histogram"][token]
            if counts:
                axis.stairs(counts, edges, fill=True, facecolor=colour)
        if summary["threshold"] is not None:
            axis.axvline(summary["threshold"], color=_BLACK, linewidth=0.7)
        axis.set_title(column_title(kind), fontsize=9, loc="left")
        axis.set_ylabel("tokens (log scale)", fontsize=9)
    axes[0].set(xscale="log", yscale="log", ylim=(0.7, None))
    for side in (axes[0].xaxis, axes[0].yaxis):
        plain_log_ticks(side)
    axes[-1].set_xlabel(f"L2 norm after block {summary['block']} (log scale)", fontsize=9)
    shown = [t for t in _TOKENS if any(n["histogram"][t] for n in kinds.values())]
    handles: list[Any] = [Patch(facecolor=_TOKENS[t], label=_NAMES[t]) for t in shown]
    if summary["threshold"] is not None:
        handles.append(_line(color=_BLACK, linewidth=0.7, label="outlier above"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return _plain(figure)


def draw_positions(summary: Summary, *, title: str) -> Figure:
    """Draw in how many images each place of the grid holds an outlier, on one colour scale."""
    kinds, images = summary["registers"], len(summary["images"])
    figure = _figure(1.2 + 2.7 * len(kinds), 3.7, title)
    axes = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axis, (kind, numbers) in zip(axes, kinds.items(), strict=True):
        counts = np.array(numbers["outlier_counts"])
        drawn = axis.imshow(counts, cmap="cividis", norm=Normalize(0, images))
        total, places = counts.sum(), (counts > 0).sum()
        found = f"{total} outliers in {places} places" if total else "no outliers"
        axis.set_title(f"{column_title(kind)}\n{found}", fontsize=9)
        axis.set_xlabel("column of the grid", fontsize=8)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(MaxNLocator(6, integer=True))
        axis.tick_params(labelsize=7)
    axes[0].set_ylabel("row of the grid", fontsize=8)
    bar = figure.colorbar(drawn, ax=axes.tolist(), shrink=0.8)
    bar.set_label(f"images with an outlier there (of {images})", fontsize=8)
    bar.ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    bar.ax.tick_params(labelsize=7)
    return figure


DRAWN_FROM_NUMBERS: dict[str, Callable[..., Figure]] = {
    "blocks": draw_blocks,
    "histograms": draw_histograms,
    "positions": draw_positions,
}


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    return figure


def _line(**style: Any) -> Line2D:
    return Line2D([], [], **style)


def _plain(figure: Figure) -> Figure:
    """Leave out the frame's upper and right side."""
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure
