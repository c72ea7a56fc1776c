"""The picture for a paper: photographs, and where the answers look without and with a register."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ttr_backbones.atomic import write_atomically
from ttr_backbones.attribution_page.comparison import KINDS, Comparison, Pair
from ttr_backbones.vlm.measures import photograph_map

MOST_DRAWN = 6
_LINE, _MOST_LINES = 34, 4  # characters of a picture's width, lines above it
_TOP = 99.0  # percentile that ends the colour scale of a row


def draw_overview(path: str | Path, comparison: Comparison) -> None:
    """Draw a row of three pictures for each of the first questions.

    Args:
        path: PNG file; its folder is made.
        comparison: of `compare`.
    """
    pairs = comparison.pairs[:MOST_DRAWN]
    figure = Figure(figsize=(7.2, 1.9 * len(pairs) + 0.3), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(pairs), 3, squeeze=False)
    for row, pair in zip(axes, pairs, strict=True):
        _draw_row(row, pair)
    for axis, title in zip(axes[0], ("", *KINDS), strict=True):
        if title:
            axis.set_title(f"{title}\n{axis.get_title()}", fontsize=8, parse_math=False)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    write_atomically(path, file.getvalue())


def _draw_row(axes: np.ndarray, pair: Pair) -> None:
    question = pair.question
    picture = np.asarray(question.image)
    maps = [photograph_map(answer.attribution).mean(dim=0).numpy() for answer in pair.answers]
    values = np.stack(maps)
    top = float(np.percentile(values[values > 0], _TOP)) if values.any() else 1.0
    height, width = picture.shape[:2]
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.imshow(picture)
    axes[0].set_title(_wrapped(question.prompt), fontsize=8, parse_math=False)
    for axis, answer, weights in zip(axes[1:], pair.answers, maps, strict=True):
        axis.imshow(
            weights,
            extent=(0, width, height, 0),
            cmap="inferno",
            vmin=0,
            vmax=top,
            alpha=np.clip(0.4 + weights / top, 0.4, 0.9),  # low attention hides no photograph
            interpolation="nearest",
        )
        title = _wrapped(f"“{answer.attribution.answer}”")
        axis.set_title(title, fontsize=8, parse_math=False)
    for axis in axes:
        for x1, y1, x2, y2 in question.boxes:
            axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec="#56b4e9", lw=1))


def _wrapped(text: str) -> str:
    """Break a title to the width of its picture; the end of a long one is on the page alone."""
    lines = textwrap.wrap(text, _LINE, max_lines=_MOST_LINES, placeholder=" …")
    return "\n".join(lines)
