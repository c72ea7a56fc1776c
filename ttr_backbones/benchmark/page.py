"""The page in HTML: one file that needs no network, to be sent to a colleague."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from ttr_backbones.benchmark import words
from ttr_backbones.benchmark.forest import forest
from ttr_backbones.benchmark.markdown import inputs, run
from ttr_backbones.benchmark.report import Report
from ttr_backbones.benchmark.statistics import RowResult
from ttr_backbones.compare.repair_names import repair_label
from ttr_backbones.compare.repairs_table import RepairTable
from ttr_backbones.report.one_file import page_part

_MARKS = {"better": "\u25b2 better", "worse": "\u25bc worse"}


def html_page(report: Report) -> str:
    """Return the whole page."""
    body = [f"<h1>{_text(words.TITLE)}</h1>", *_paragraphs(words.summary(report))]
    body += _list(words.shown(report)) if report.shown else []
    for backbone in dict.fromkeys(result.row.backbone for result in report.results):
        of_backbone = [result for result in report.results if result.row.backbone == backbone]
        body += [f"<h2>{_text(backbone)}</h2>", *_table(of_backbone), *_pictures(of_backbone)]
    if report.effects:
        body.append("<h2>What the repairs do to the model</h2>")
        body += [part for table in report.effects for part in _effects(table)]
        body += _list(report.notes)
    body += ["<h2>How to read it</h2>", *_list(words.reading(report))]
    body += ["<h2>Not shown, and what it would take</h2>", *_list(words.not_shown(report))]
    body += ["<h2>Left out, and why</h2>", *_list(words.left_out(report))]
    if report.failed:
        failed = [f"{what}: {why}" for what, why in report.failed]
        body += ["<h2>Failed</h2>", *_list(failed)]
    body += ["<h2>What went in</h2>", *_list(inputs(report), "hashes")]
    body += ["<h2>This run</h2>", *_list([line.strip("`") for line in run(report)], "hashes")]
    of_this_page = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    style = page_part("colours.css") + of_this_page
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_text(words.TITLE)}</title><style>{style}</style>"
    )
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'
    )


def _table(results: Sequence[RowResult]) -> list[str]:
    with_paper = any(result.row.published for result in results)
    heads = ["repair", "measured", "95 % interval", "difference to none", ""]
    heads += ["paper"] if with_paper else []
    parts = ["<div class=wide><table class=results><thead><tr>"]
    parts += [f"<th>{head}</th>" for head in heads]
    parts.append("</tr></thead>")
    for name in dict.fromkeys(result.row.experiment for result in results):
        lines = [result for result in results if result.row.experiment == name]
        row = lines[0].row
        title = f"{row.task}: {row.metric.heading}{words.images(lines[0])}"
        parts.append(f'<tbody><tr class=task><th colspan="{len(heads)}">{_text(title)}</th></tr>')
        parts += [_line(result, with_paper=with_paper) for result in lines]
        parts.append("</tbody>")
    return [*parts, "</table></div>"]


def _line(result: RowResult, *, with_paper: bool) -> str:
    kind = result.verdict.replace(" ", "-")
    cells = [
        words.measured(result),
        words.interval(result),
        words.difference(result),
        _MARKS.get(result.verdict, result.verdict),
    ]
    cells += [words.published(result)] if with_paper else []
    inner = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}"><td>{_text(repair_label(result.row.repair))}</td>{inner}</tr>'


def _pictures(results: Sequence[RowResult]) -> list[str]:
    parts = []
    for name in dict.fromkeys(result.row.experiment for result in results):
        lines = [result for result in results if result.row.experiment == name]
        if picture := forest(lines):
            caption = f"<figcaption>{_text(lines[0].row.task)}</figcaption>"
            parts.append(f"<figure>{caption}{picture}</figure>")
    return ["<div class=pictures>", *parts, "</div>"] if parts else []


def _effects(table: RepairTable) -> list[str]:
    measures = (*table.effects, *table.costs)
    parts = [f"<h3>{_text(table.backbone)}</h3><div class=wide><table><thead><tr><th>repair</th>"]
    parts += [f"<th>{_text(measure.heading)}</th>" for measure in measures]
    parts.append("</tr></thead><tbody>")
    for row in table.rows:
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in (*row.effects, *row.costs))
        parts.append(f"<tr><td>{_text(repair_label(row.kind))}</td>{cells}</tr>")
    return [*parts, "</tbody></table></div>"]


def _paragraphs(lines: Iterable[str]) -> list[str]:
    return [f"<p>{_text(line)}</p>" for line in lines]


def _list(lines: Iterable[str], kind: str = "") -> list[str]:
    items = [f"<li>{_text(line)}</li>" for line in lines]
    return [f'<ul class="{kind}">', *items, "</ul>"] if items else ["<p>Nothing.</p>"]


def _text(text: str) -> str:
    return html.escape(text)
