"""A table of what repairs do, for a terminal: a row per measure, a column per repair."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from ttr_backbones.repairs.effects import NONE, SHIFTED, Effects
from ttr_backbones.repairs.fit_facts import FitFacts
from ttr_backbones.report.effect_measures import COSTS, EFFECTS, shown_measures

_WIDTH = 16  # of a column
_FIRST = 31  # of the headings
_TITLES = {NONE: "as it is", SHIFTED: "images shifted by a pixel"}


def effects_text(
    effects: Effects, fits: Mapping[str, FitFacts], titles: Mapping[str, str] | None = None
) -> str:
    """Lay out the columns of `effects`.

    Args:
        effects: of `measure_effects`.
        fits: name of a column -> what its fit took.
        titles: name of a column -> what stands above it; by default the name.
    """
    titles = {**_TITLES, **(titles or {})}
    columns = [(effect, fits.get(name)) for name, effect in effects.columns.items()]
    heads = [textwrap.wrap(titles.get(name, name), _WIDTH - 2) for name in effects.columns]
    lines = []
    for level in range(max(map(len, heads))):
        cells = [head[level] if level < len(head) else "" for head in heads]
        lines.append(" " * _FIRST + "".join(f"{cell:>{_WIDTH}}" for cell in cells))
    for measure in shown_measures(EFFECTS + COSTS, columns):
        empty = measure in COSTS
        cells = [
            "" if empty and name in (NONE, SHIFTED) else measure.shown(effect, fit)
            for name, (effect, fit) in zip(effects.columns, columns, strict=True)
        ]
        lines.append(f"{measure.heading:{_FIRST}}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def where_outliers_are(effects: Effects) -> str:
    """Say what counted as an outlier, and on which images."""
    height, width = effects.size
    images = f"{effects.num_images} image{'s' * (effects.num_images != 1)} of {width} x {height} px"
    if effects.threshold is None:
        return f"{images}. {effects.no_outliers}"
    return (
        f"{images}; an outlier patch has a norm above {effects.threshold:.1f} after block "
        f"{effects.detect_block}, or final features within 46 degrees of those of the outliers"
    )
