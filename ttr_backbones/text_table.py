"""Tables of plain text, the same on a terminal, in a pipe and in a file; and tables of Markdown."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError

_ANY_WIDTH = 1_000_000  # a table is never cut or wrapped


def aligned(rows: Iterable[Sequence[str]], justify: str, gap: int = 2) -> list[str]:
    """Lay out rows in columns, one line for each row, without colour codes or blanks at its end.

    Args:
        rows: cells of one line each. A row may be shorter than the others.
        justify: a letter for each column: "l" for words, "r" for numbers.
        gap: blanks between columns.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None, show_header=False, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0)
    )
    for letter in justify:
        table.add_column(justify="left" if letter == "l" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    if not table.row_count:
        return []
    page = io.StringIO()
    Console(file=page, width=_ANY_WIDTH, color_system=None, force_terminal=False).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def markdown_row(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table, whatever its cells hold."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def replace_between(path: Path, begin: str, end: str, content: str) -> None:
    """Put `content` between two marks of a Markdown file.

    Raises:
        InputError: the marks are not there, once each.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        raise InputError(f"{path}: expected one line {begin!r} and one {end!r}")
    before, after = text.partition(begin)[0], text.partition(end)[2]
    write_atomically(path, f"{before}{begin}\n\n{content}\n\n{end}{after}".encode())
