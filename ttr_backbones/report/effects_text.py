"""A table of what repairs do, for a terminal: a row per measure, a column per repair."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence

from ttr_backbones.repairs.effects import NONE, SHIFTED, Effects
from ttr_backbones.repairs.fit_facts import FitFacts
from ttr_backbones.report.effect_measures import COSTS, EFFECTS, shown_measures
from ttr_backbones.text_table import aligned

_WIDTH = 14  # of a title's lines
_LINE = 100  # of sentences
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
    heads = [textwrap.wrap(titles.get(name, name), _WIDTH) for name in effects.columns]
    rows = [["", *level] for level in itertools.zip_longest(*heads, fillvalue="")]
    for measure in shown_measures(EFFECTS + COSTS, columns):
        empty = measure in COSTS
        cells = [
            "" if empty and name in (NONE, SHIFTED) else measure.shown(effect, fit)
            for name, (effect, fit) in zip(effects.columns, columns, strict=True)
        ]
        rows.append([measure.heading, *cells])
    return "\n".join(aligned(rows, "l" + "r" * len(columns)))


def outlier_summary(effects: Effects) -> str:
    """Say what counted as an outlier, and on which images."""
    height, width = effects.size
    images = f"{effects.num_images} image{'s' * (effects.num_images != 1)} of {width} x {height} px"
    if effects.threshold is None:
        return f"{images}. {effects.no_outliers}"
    by_direction = any(effect.along is not None for effect in effects.columns.values())
    return (
        f"{images}; an outlier patch has a norm above {effects.threshold:.1f} after block "
        f"{effects.detect_block}"
        + ", or final features within 46 degrees of those of the outliers"
        * by_direction
    )


def effects_report(
    effects: Effects,
    fits: Mapping[str, FitFacts],
    titles: Mapping[str, str],
    verdicts: Sequence[str],
) -> str:
    """Say on what was measured, lay out the table, and put the verdicts below it.

    Args:
        effects: of several repairs on the same images.
        fits: cost of each fit, by the name of the column.
        titles: headings of the columns, by their names.
        verdicts: paragraphs.
    """
    paragraphs = [textwrap.fill(verdict, _LINE) for verdict in verdicts]
    head = textwrap.fill(outlier_summary(effects), _LINE)
    return "\n\n".join([f"{head}\n{effects_text(effects, fits, titles)}", *paragraphs])
