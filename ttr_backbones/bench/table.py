"""One table and one JSON file for all parts of the bench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ttr_backbones.bench.machine import Machine
from ttr_backbones.bench.row import BenchRow, Measured
from ttr_backbones.text_table import aligned

_HEADINGS = (
    *("contestant", "variant", "batch", "images/s", "ms/batch", "ratio (quartiles)", "goal"),
    *("tokens/s", "GFLOP/s", "of mm", "peak MiB"),
)


def as_table(machine: Machine, measured: Sequence[Measured]) -> list[str]:
    """Give the lines of the table: a heading per part, its rows, its notes."""
    cells = [_cells(row, row.share(machine.rates)) for part in measured for row in part.rows]
    heading, *rows = aligned([_HEADINGS, *cells], "ll" + "r" * (len(_HEADINGS) - 2), gap=1)
    lines = [heading] if rows else []
    for part in measured:
        of_part, rows = rows[: len(part.rows)], rows[len(part.rows) :]
        lines += ["", f"{part.part}: {_setting(part)}{_baseline(part)}", *part.lines, *of_part]
        lines += [f"  {note.removeprefix(f'{part.part}: ')}" for note in part.notes]
    return lines


def as_json(machine: Machine, measured: Sequence[Measured]) -> str:
    """Give everything that was measured as the text of a JSON file."""
    record = {
        "machine": asdict(machine),
        "rows": [row.as_dict(machine.rates) for part in measured for row in part.rows],
        "parts": {
            part.part: {"setting": dict(part.setting), "notes": part.notes, **part.facts}
            for part in measured
        },
    }
    return json.dumps(record, indent=1) + "\n"


def _cells(row: BenchRow, share: float | None) -> list[str]:
    return [
        row.contestant,
        row.variant,
        str(row.batch_size),
        _number(row.images_per_second),
        _number(1e3 * row.seconds),
        _ratio(row),
        _goal(row),
        _number(row.tokens_per_second),
        _number(row.flops_per_second, 1e9),
        "" if share is None else f"{100 * share:.0f} %",
        _number(row.peak_bytes, 2**20),
    ]


def _number(value: float | None, unit: float = 1.0) -> str:
    if value is None:
        return ""
    scaled = value / unit
    return f"{scaled:,.0f}" if scaled >= 1000 else f"{scaled:.1f}"


def _ratio(row: BenchRow) -> str:
    if row.ratio is None:
        return ""
    if row.against == row.contestant:
        return "1"
    return f"{row.ratio.median:.3f} ({row.ratio.low:.3f}-{row.ratio.high:.3f})"


def _goal(row: BenchRow) -> str:
    if row.goal is None:
        return ""
    return f"{row.goal:g} {'met' if row.met else 'missed'}"


def _setting(part: Measured) -> str:
    """The setting in a few words; lists of neurons are for the JSON file."""
    words: list[str] = []
    for name, value in part.setting.items():
        if isinstance(value, dict):
            continue
        words.append(f"{name.replace('_', ' ')} {_value(value)}")
    return ", ".join(words)


def _baseline(part: Measured) -> str:
    over = next((row.against for row in part.rows if row.against), None)
    return f"; ratios: time over {over}" if over else ""


def _value(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
