"""Progress on stderr: a line that moves on a terminal, now and then a line in a log file."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from ttr_backbones.app.launcher import is_first

if TYPE_CHECKING:
    from rich.live import Live

_BAR_WIDTH = 24
_REDRAWN_AFTER = 0.1  # seconds, on a terminal
_LOGGED_AFTER = 30.0  # seconds, where stderr is a pipe or a file


class StatusLine:
    """One line that says how far something is.

    On a terminal the latest state replaces the one before; `NO_COLOR` and `TERM=dumb` are heeded.
    Elsewhere a state is printed if half a minute has passed since the last line, so that short work
    prints nothing. Of several processes the first one speaks.
    """

    def __init__(self) -> None:
        self._live: Live | None = None
        self._last = time.monotonic()

    def show(self, text: str, share: float | None = None) -> None:
        """Show a state.

        Args:
            text: without line breaks.
            share: 0..1, drawn as a bar on a terminal; None without a bar.
        """
        if not is_first():
            return
        now = time.monotonic()
        # While the line moves, rich has its own stream in the place of stderr.
        if self._live is None and not _on_terminal():
            if now - self._last >= _LOGGED_AFTER:
                self._last = now
                print(text, file=sys.stderr, flush=True)
        elif self._live is None or now - self._last >= _REDRAWN_AFTER or share == 1:
            self._last = now
            self._draw(_line(text, share))

    def keep(self, text: str) -> None:
        """Print a line that stays, in place of the moving one."""
        self.close()
        if is_first():
            self._last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Clear the line; `show` may open it again."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, line: Any) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True, force_terminal=True, highlight=False),
                auto_refresh=False,  # no thread: this process may fork
                transient=True,
                # What else is printed comes above the line; into a pipe it goes as it is.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()
        self._live.update(line, refresh=True)


class ProgressBar:
    """The progress of passes over images: call it with the images done and their number.

    Args:
        noun: what is counted.

    Attributes:
        line: where it is shown.
    """

    def __init__(self, noun: str = "images") -> None:
        self._noun, self.line = noun, StatusLine()
        self._passes, self._last = 0, 0
        self._first, self._start = 0, 0.0

    def __call__(self, done: int, total: int | None) -> None:
        """Show that `done` images of this pass are done."""
        now = time.monotonic()
        if done <= self._last or not self._passes:
            self._passes, self._first, self._start = self._passes + 1, done, now
        self._last = done
        text = f"{done}{f'/{total}' if total else ''} {self._noun}"
        if self._passes > 1:
            text = f"pass {self._passes}: {text}"
        if now > self._start:  # the time of the first batch is not known
            rate = (done - self._first) / (now - self._start)
            text += f", {rate_and_eta(rate, total - done if total else None)}"
        self.line.show(text, done / total if total else None)

    def close(self) -> None:
        """Clear the line."""
        self.line.close()


class StepBar:
    """The progress of a training: call it with the steps done, the steps in all and the loss.

    Args:
        line: where it is shown; who made it closes it.
    """

    def __init__(self, line: StatusLine) -> None:
        self._line, self._start = line, 0.0

    def __call__(self, done: int, total: int, loss: float) -> None:
        """Show that `done` steps are done."""
        now = time.monotonic()
        if done == 1:
            self._start = now
        text = f"step {done}/{total}, loss {loss:.4g}"
        if now > self._start:
            text += f", {rate_and_eta((done - 1) / (now - self._start), total - done)}"
        self._line.show(text, done / total)


def rate_and_eta(rate: float, left: int | None) -> str:
    """Say how fast something goes, per second, and when it will be done.

    Args:
        rate: images, steps, ... per second.
        left: how many are to do; None if that is not known.
    """
    text = f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
    if not left or rate <= 0:
        return text
    minutes, seconds = divmod(round(left / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{text}, {hours}:{minutes:02}:{seconds:02} left"


def _on_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}


def _line(text: str, share: float | None) -> Any:
    """The line as rich draws it, no longer than the terminal is wide."""
    from rich.progress_bar import ProgressBar as Bar
    from rich.table import Table
    from rich.text import Text

    words = Text(text, no_wrap=True, overflow="ellipsis")
    if share is None:
        return words
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Bar(total=1.0, completed=share, width=_BAR_WIDTH), words)
    return grid
