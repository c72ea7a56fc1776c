"""Notes and warnings to the user on stderr; one of several processes prints them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from ttr_backbones.app.launcher import is_first
from ttr_backbones.errors import as_sentence


def note(message: str) -> None:
    """Print what is done on the user's behalf to stderr; one of several processes prints it."""
    if is_first():
        print(f"ttrb: note: {as_sentence(message)}", file=sys.stderr)


class _Stderr(io.TextIOBase):
    """What stderr is at the time: a progress line puts its own stream there."""

    def write(self, text: str) -> int:
        """Write to stderr."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush stderr."""
        sys.stderr.flush()


def log_to_stderr() -> None:
    """Send what mmengine logs without a Runner to stderr: stdout is for a command's result."""
    from logging import FileHandler, StreamHandler

    from mmengine.logging import MMLogger

    for handler in MMLogger.get_current_instance().handlers:
        if isinstance(handler, StreamHandler) and not isinstance(handler, FileHandler):
            handler.stream = _Stderr()


def warn(message: str, files: list[tuple[Path, str]] | None = None) -> None:
    """Print a warning to stderr, with at most ten files and the reason for each.

    One of several processes prints it.
    """
    if not is_first():
        return
    lines = [f"{file.name} ({why})" for file, why in (files or [])[:10]]
    more = ", ..." if files and len(files) > len(lines) else ""
    which = f": {', '.join(lines)}{more}" if lines else ""
    print(f"ttrb: warning: {as_sentence(message + which)}", file=sys.stderr)
