"""The table as bars: a panel per task, a group per backbone, a colour per repair."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ttr_backbones.atomic import writing_atomically
from ttr_backbones.compare.repair_names import NONE, TRAINED, repair_colour, repair_label
from ttr_backbones.compare.summary import Line

_WIDEST = 14.5  # inches
_PER_ROW = 3
_BAR = 0.42  # inches; a number fits above it
_HANDLE, _LETTER = 0.5, 0.06  # inches of a legend's entry: its mark, and each letter
_GROUP = 0.8  # width of a full group, in units of the distance between two groups


def draw_table(lines: Sequence[Line], path: Path) -> None:
    """Draw the lines that have a number: mean, standard deviation, single runs, the paper's number.

    Args:
        lines: of the table; at least one.
        path: the PNG to write.
    """
    panels: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        panels.setdefault((line.row.task, line.row.metric.heading), []).append(line)
    kinds = _kinds(lines)
    groups = max(len({line.row.backbone for line in panel}) for panel in panels.values())
    width = max(2.7, _BAR / _GROUP * groups * len(kinds) + 0.8)
    columns = max(1, min(_PER_ROW, len(panels), int(_WIDEST / width)))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(width * columns, 3.1 * rows + 0.5), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, ((task, heading), panel) in zip(axes, panels.items(), strict=False):
        _draw_panel(axis, panel, kinds)
        axis.set_title(textwrap.fill(task, int(13 * width)), fontsize=9)
        axis.set_ylabel(heading.replace(", ", "\n"), fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    _draw_legend(figure, kinds, lines)
    with writing_atomically(path) as partial:
        figure.savefig(partial, format="png")


def _kinds(lines: Sequence[Line]) -> list[str]:
    """The kinds in the order of the table, the model as it is first and trained registers last."""
    order = {NONE: 0, TRAINED: 2}
    return sorted(
        dict.fromkeys(line.row.repair for line in lines), key=lambda kind: order.get(kind, 1)
    )


def _draw_panel(axis: Any, panel: Sequence[Line], kinds: Sequence[str]) -> None:
    backbones = list(dict.fromkeys(line.row.backbone for line in panel))
    width = _GROUP / len(kinds)
    tops = [0.0]
    for line in panel:
        at = float(backbones.index(line.row.backbone))
        at += (kinds.index(line.row.repair) - (len(kinds) - 1) / 2) * width
        top, number = 0.0, line.row.published
        if number is not None:
            top = number.value + (number.std or 0.0)
            axis.errorbar(
                at, number.value, number.std, fmt="D", ms=4, mfc="white", mec="black",
                ecolor="black", elinewidth=0.8, zorder=4,
            )  # fmt: skip
        if line.mean is None:
            axis.annotate("no\nrun", (at, 0), ha="center", va="bottom", fontsize=6, color="0.4")
        else:
            top = max(top, line.mean + (line.std or 0.0), *line.values)
            axis.bar(at, line.mean, width * 0.92, color=repair_colour(line.row.repair), zorder=2)
            axis.annotate(
                line.row.metric.shown(line.mean), (at, top), (0, 5), textcoords="offset points",
                ha="center", fontsize=7,
            )  # fmt: skip
        if line.std is not None:
            axis.errorbar(at, line.mean, line.std, color="black", capsize=3, lw=1, zorder=3)
            axis.plot([at] * len(line.values), line.values, ".", color="black", ms=3, zorder=3)
        tops.append(top)
    names = [textwrap.fill(name, 16, break_on_hyphens=False) for name in backbones]
    axis.set_xticks(range(len(backbones)), names)
    axis.set_xlim(-0.6, len(backbones) - 0.4)
    axis.set_ylim(0, 1.15 * max(tops) or 1.0)
    axis.tick_params(labelsize=7)
    axis.grid(axis="y", color="0.9", lw=0.6, zorder=0)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_legend(figure: Figure, kinds: Sequence[str], lines: Sequence[Line]) -> None:
    handles: list[Any] = [
        Patch(color=repair_colour(kind), label=repair_label(kind)) for kind in kinds
    ]
    if any(line.std is not None for line in lines):
        handles.append(Line2D([], [], color="black", marker=".", label="seeds, ± std"))
    if any(line.row.published for line in lines):
        marker: dict[str, Any] = {"marker": "D", "mfc": "white", "mec": "black", "ls": ""}
        handles.append(Line2D([], [], label="published, not measured here", **marker))
    longest = max(len(handle.get_label()) for handle in handles)
    columns = max(1, int(figure.get_figwidth() / (_HANDLE + _LETTER * longest)))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), fontsize=7
    )
