"""The table as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ttr_backbones.compare.cells import CellResult
from ttr_backbones.compare.plan import Cell
from ttr_backbones.compare.repair_names import is_control, repair_label
from ttr_backbones.compare.repairs_table import (
    repair_tables,
    side_effect_values,
    side_effects_markdown,
    side_effects_text,
)
from ttr_backbones.compare.side_effects import SideEffects
from ttr_backbones.compare.summary import Line
from ttr_backbones.text_table import aligned, markdown_row

_HEADINGS = ("backbone", "repair", "measured", "seeds", "published")
_LEGEND = (
    "measured: mean ± sample standard deviation over the seeds, of the last checkpoint.",
    "published: the papers' own numbers, by their own protocols; none was measured here.",
)


def text_table(
    lines: Sequence[Line], notes: Sequence[str] = (), side_effects: SideEffects | None = None
) -> str:
    """Return the table for a terminal: tasks one after another, columns aligned."""
    sources = _sources(lines)
    cells = [_cells(line, sources) for line in lines]
    # All tasks in one go, so that their columns stand below each other.
    head, *rows = aligned([_HEADINGS, *cells], "ll" + "r" * (len(_HEADINGS) - 2))
    rule = "-" * max(map(len, (head, *rows)))
    text, task = [], ""
    for line, row in zip(lines, rows, strict=True):
        if line.row.task != task:
            task = line.row.task
            text += ["", f"{task} ({line.row.metric.heading})", head, rule]
        text.append(row)
    more = side_effects_text(repair_tables(lines, side_effects or {}))
    text += ["", *more.splitlines()] if more else []
    return "\n".join([*text[1:], "", *below(lines, notes)]) + "\n"


def markdown_table(
    lines: Sequence[Line], notes: Sequence[str] = (), side_effects: SideEffects | None = None
) -> str:
    """Return one Markdown table of all tasks, and one of the repairs where they were measured."""
    sources = _sources(lines)
    text = [markdown_row(("task", "metric", *_HEADINGS))]
    text.append("|---|---|---|---|---:|---:|---:|")
    for line in lines:
        row = (line.row.task, line.row.metric.heading, *_cells(line, sources))
        text.append(markdown_row(row))
    more = side_effects_markdown(repair_tables(lines, side_effects or {}))
    text += ["", *more.splitlines()] if more else []
    remarks = [f"- {remark}" for remark in below(lines, notes)]
    return "\n".join([*text, "", *remarks]) + "\n"


def csv_table(lines: Sequence[Line], side_effects: SideEffects | None = None) -> str:
    """Return the summary, one row per line of the table, with all digits."""
    return _csv(
        {
            "experiment": line.row.experiment,
            "backbone": line.row.backbone,
            "task": line.row.task,
            "repair": line.row.repair,
            "control": is_control(line.row.repair),
            "metric": line.row.metric.key,
            "unit": line.row.metric.unit,
            "mean": line.mean,
            "std": line.std,
            "runs": len(line.values),
            "runs_planned": line.planned,
            "published": line.row.published and line.row.published.value,
            "published_std": line.row.published and line.row.published.std,
            "published_source": line.row.published and line.row.published.source,
            **({} if side_effects is None else side_effect_values(line, side_effects)),
        }
        for line in lines
    )


def csv_cells(
    cells: Sequence[Cell], outcomes: Mapping[str, CellResult], failed: Mapping[str, str]
) -> str:
    """Return one row per cell, with the reason if it failed."""
    return _csv(
        {
            "experiment": cell.row.experiment,
            "repair": cell.row.repair,
            "seed": cell.seed,
            "metric": cell.row.metric.key,
            "value": outcomes[cell.name].value if cell.name in outcomes else None,
            "seconds": round(outcomes[cell.name].seconds, 1) if cell.name in outcomes else None,
            "folder": str(cell.folder),
            "failed": failed.get(cell.name),
        }
        for cell in cells
    )


def _csv(rows: Any) -> str:
    rows, text = list(rows), io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cells(line: Line, sources: Sequence[str]) -> tuple[str, ...]:
    number = line.row.published
    mark = f" [{sources.index(number.source) + 1}]" if number else ""
    return (
        line.row.backbone,
        repair_label(line.row.repair),
        line.measured,
        line.runs,
        line.published + mark,
    )


def _sources(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.row.published.source for line in lines if line.row.published))


def below(lines: Sequence[Line], notes: Sequence[str]) -> list[str]:
    """Return what stands below a table: the legend, the sources, the notes."""
    sources = _sources(lines)
    numbered = [f"[{index}] {source}" for index, source in enumerate(sources, 1)]
    legend = _LEGEND if sources else _LEGEND[:1]
    return [*legend, *numbered, *notes]
