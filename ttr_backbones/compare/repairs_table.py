"""The table with one row per repair: what it does to the model, to the tasks, and what it costs."""

from __future__ import annotations

import html
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ttr_backbones.compare.repair_names import repair_label
from ttr_backbones.compare.side_effects import SideEffect, SideEffects
from ttr_backbones.compare.summary import NOTHING, Line
from ttr_backbones.report.effect_measures import COSTS, EFFECTS, Measure, shown_measures
from ttr_backbones.text_table import aligned, markdown_row

_WIDTH = 11  # of a heading's lines
_NONE = SideEffect(None, None)
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 110rem;
       padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin-top: 2rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem }
th, td { padding: .35rem .6rem; text-align: right; vertical-align: bottom;
         border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff;
                                 white-space: nowrap }
th.first, td.first { border-left: 1px solid #bbb }
thead tr:first-child th { text-align: center; color: #555; font-weight: 600 }
tbody tr:first-child td { background: #f4f4f4 }
small { color: #666; white-space: nowrap }
li { margin: .25rem 0; max-width: 60rem }
@media (prefers-color-scheme: dark) {
  body, th:first-child, td:first-child { background: #1b1b1b; color: #ddd }
  tbody tr:first-child td { background: #2a2a2a }
  th, td { border-color: #444 } thead tr:first-child th, small { color: #aaa }
}
"""


class RepairRow(NamedTuple):
    """One repair of one backbone, written out.

    Attributes:
        kind: see `compare.repair_names`.
        effects: cells of `RepairTable.effects`.
        tasks: (measured, published) for each of `RepairTable.tasks`.
        costs: cells of `RepairTable.costs`.
    """

    kind: str
    effects: list[str]
    tasks: list[tuple[str, str]]
    costs: list[str]


class RepairTable(NamedTuple):
    """All repairs of one backbone."""

    backbone: str
    effects: list[Measure]
    tasks: list[str]
    costs: list[Measure]
    rows: list[RepairRow]


def repair_tables(lines: Sequence[Line], side_effects: SideEffects) -> list[RepairTable]:
    """Put the lines of the tasks and the side effects together, one table per backbone.

    Args:
        lines: of all tasks.
        side_effects: of `measure_side_effects`.
    """
    tables = []
    for backbone in dict.fromkeys(line.row.backbone for line in lines):
        of_backbone = [line for line in lines if line.row.backbone == backbone]
        kinds = list(dict.fromkeys(line.row.repair for line in of_backbone))
        sides = {kind: side_effects.get((backbone, kind), _NONE) for kind in kinds}
        columns = [(side.effect, side.fit) for side in sides.values()]
        effects, costs = shown_measures(EFFECTS, columns), shown_measures(COSTS, columns)
        tasks = {_task(line): line.row.experiment for line in of_backbone}
        rows = [
            RepairRow(
                kind,
                [measure.shown(sides[kind].effect, sides[kind].fit) for measure in effects],
                [_numbers(of_backbone, task, kind) for task in tasks],
                [measure.shown(sides[kind].effect, sides[kind].fit) for measure in costs],
            )
            for kind in kinds
        ]
        tables.append(RepairTable(backbone, effects, list(tasks), costs, rows))
    return tables


def _task(line: Line) -> str:
    return f"{line.row.task}: {line.row.metric.heading}"


def _numbers(lines: Sequence[Line], task: str, kind: str) -> tuple[str, str]:
    found = [line for line in lines if line.row.repair == kind and _task(line) == task]
    return (found[0].measured, found[0].published) if found else (NOTHING, NOTHING)


def side_effects_text(tables: Sequence[RepairTable]) -> str:
    """Lay out effects and costs for a terminal; the tasks have tables of their own above."""
    text = []
    for table in tables:
        if not table.effects:
            continue
        heads = [textwrap.wrap(m.heading, _WIDTH) for m in (*table.effects, *table.costs)]
        rows = [["", *level] for level in itertools.zip_longest(*heads, fillvalue="")]
        rows += [[repair_label(row.kind), *row.effects, *row.costs] for row in table.rows]
        text += ["", f"{table.backbone}: what the repairs do, and cost"]
        text += aligned(rows, "l" + "r" * len(heads))
    return "\n".join([*text[1:], ""]) if text else ""


def side_effects_markdown(tables: Sequence[RepairTable]) -> str:
    """Return one Markdown table per backbone: effects, tasks (mean ± std) and costs."""
    text = []
    for table in tables:
        if not table.effects:
            continue
        heads = [
            *(measure.heading for measure in table.effects),
            *table.tasks,
            *(measure.heading for measure in table.costs),
        ]
        text += ["", f"**{table.backbone}**", ""]
        text.append(markdown_row(["", *heads]))
        text.append("|---|" + "---:|" * len(heads))
        for row in table.rows:
            measured = [_with_paper(*numbers) for numbers in row.tasks]
            text.append(markdown_row([repair_label(row.kind), *row.effects, *measured, *row.costs]))
    return "\n".join([*text[1:], ""]) if text else ""


def _with_paper(measured: str, published: str) -> str:
    return measured if published == NOTHING else f"{measured} (paper: {published})"


def html_page(tables: Sequence[RepairTable], notes: Sequence[str], title: str) -> str:
    """Return a page that needs nothing else: one wide table per backbone, and the notes.

    Args:
        tables: of `repair_tables`.
        notes: in sentences.
        title: of the page.
    """
    body = [f"<h1>{_text(title)}</h1>"]
    for table in tables:
        groups = {
            "effect on the model": [measure.heading for measure in table.effects],
            "tasks, mean ± std over the seeds": table.tasks,
            "cost": [measure.heading for measure in table.costs],
        }
        groups = {name: heads for name, heads in groups.items() if heads}
        body.append(f"<h2>{_text(table.backbone)}</h2><div class=wide><table><thead><tr><th></th>")
        body += [
            f'<th class=first colspan="{len(heads)}">{_text(name)}</th>'
            for name, heads in groups.items()
        ]
        body.append("</tr><tr><th>repair</th>")
        for heads in groups.values():
            body += [_raw("th", _text(head), first=i == 0) for i, head in enumerate(heads)]
        body.append("</tr></thead><tbody>")
        body += [_html_row(row) for row in table.rows]
        body.append("</tbody></table></div>")
    body.append("<ul>" + "".join(f"<li>{_text(note)}</li>" for note in notes) + "</ul>")
    head = f'<meta charset="utf-8"><title>{_text(title)}</title><style>{_STYLE}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'
    )


def _html_row(row: RepairRow) -> str:
    tasks = [
        _text(measured) + ("" if paper == NOTHING else f"<br><small>paper: {_text(paper)}</small>")
        for measured, paper in row.tasks
    ]
    groups = [[_text(cell) for cell in row.effects], tasks, [_text(cell) for cell in row.costs]]
    cells = [_raw("td", cell, first=i == 0) for group in groups for i, cell in enumerate(group)]
    return f"<tr><td>{_text(repair_label(row.kind))}</td>{''.join(cells)}</tr>"


def _raw(tag: str, inner: str, *, first: bool) -> str:
    return f"<{tag}{' class=first' if first else ''}>{inner}</{tag}>"


def _text(text: str) -> str:
    return html.escape(text)


def side_effect_values(line: Line, side_effects: SideEffects) -> Mapping[str, object]:
    """Return the numbers of a line for CSV, with all digits."""
    side = side_effects.get((line.row.backbone, line.row.repair), _NONE)
    return {measure.key: measure.value(side.effect, side.fit) for measure in EFFECTS + COSTS}
