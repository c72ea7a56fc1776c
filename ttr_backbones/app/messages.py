"""Notes and warnings to the user on stderr; one of several processes prints them."""

from __future__ import annotations

import sys
from pathlib import Path

from ttr_backbones.app.launcher import is_first
from ttr_backbones.errors import as_sentence


def note(message: str) -> None:
    """Tell the user what is done on their behalf; one of several processes tells it."""
    if is_first():
        print(f"ttrb: note: {as_sentence(message)}", file=sys.stderr)


def warn(message: str, files: list[tuple[Path, str]] | None = None) -> None:
    """Print a warning to stderr, with at most ten files and what is to be said of each.

    One of several processes prints it.
    """
    if not is_first():
        return
    lines = [f"{file.name} ({why})" for file, why in (files or [])[:10]]
    more = ", ..." if files and len(files) > len(lines) else ""
    told = f": {', '.join(lines)}{more}" if lines else ""
    print(f"ttrb: warning: {as_sentence(message + told)}", file=sys.stderr)
