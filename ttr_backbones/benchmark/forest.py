"""Differences with their intervals as a picture: a dot, a bar, and a line at no difference."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ttr_backbones.benchmark.statistics import RowResult
from ttr_backbones.compare.repair_names import repair_label

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 460, 190, 20, 26, 30


def forest(results: Sequence[RowResult]) -> str:
    """Draw the differences of one task as SVG, "" if there are none.

    Args:
        results: lines of one backbone on one task.
    """
    rows = [
        (result, result.difference.value, result.difference.interval)
        for result in results
        if result.difference is not None and result.difference.interval is not None
    ]
    if not rows:
        return ""
    metric = rows[0][0].row.metric
    reach = max(abs(end) for _, _, interval in rows for end in interval) * 1.08 or 1.0
    span = _WIDTH - _LEFT - _RIGHT

    def x(value: float) -> float:
        return round(_LEFT + span * (value / reach + 1) / 2, 1)

    bottom = _TOP + _ROW * len(rows)
    better = "\u2192 better" if metric.higher_is_better else "\u2190 better"
    title = f"{metric.name}, difference to no repair [{metric.unit}], {better}"
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 22}" role="img" aria-label="{_text(title)}">',
        f'<text x="{_WIDTH - _RIGHT}" y="14" text-anchor="end" class="quiet">{_text(title)}</text>',
        f'<line x1="{x(0)}" x2="{x(0)}" y1="{_TOP - 6}" y2="{bottom}" class="zero"/>',
    ]
    for index, (result, value, (low, high)) in enumerate(rows):
        y = _TOP + _ROW * index + _ROW // 2
        name = repair_label(result.row.repair)
        shown = name if len(name) <= 28 else f"{name[:27]}\u2026"
        kind = result.verdict.replace(" ", "-")
        parts += [
            f'<g class="{kind}"><text x="0" y="{y + 4}">{_text(shown)}</text>',
            f'<line x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}"/>',
            f'<circle cx="{x(value)}" cy="{y}" r="4.5"/></g>',
        ]
    for value in (-reach / 1.08, 0.0, reach / 1.08):
        label = f"{value:+.{metric.decimals}f}" if value else "0"
        parts.append(
            f'<text x="{x(value)}" y="{bottom + 16}" text-anchor="middle" class="quiet">'
            f"{label}</text>"
        )
    return "".join([*parts, "</svg>"])


def _text(text: str) -> str:
    return html.escape(text)
