"""A progress bar on stderr, for passes over images."""

from __future__ import annotations

import sys
import time

from ttr_backbones.app.launcher import is_first

_WIDTH = 24


class ProgressBar:
    """Call it with the images done and their number.

    It is silent where stderr is no terminal, and in all of several processes but the first.
    """

    def __init__(self) -> None:
        self._passes, self._last = 0, 0
        self._first, self._start = 0, 0.0
        self._shown = sys.stderr.isatty() and is_first()

    def __call__(self, done: int, total: int | None) -> None:
        """Show that `done` images of this pass are done."""
        now = time.monotonic()
        if done <= self._last or not self._passes:
            self._passes, self._first, self._start = self._passes + 1, done, now
        self._last = done
        if not self._shown:
            return
        filled = _WIDTH * done // total if total else 0
        bar = "#" * filled + "." * (_WIDTH - filled)
        told = f"pass {self._passes} [{bar}] {done}{f'/{total}' if total else ''} images"
        if now > self._start:  # the time of the first batch is not known
            rate = (done - self._first) / (now - self._start)
            told += f", {rate_and_eta(rate, total - done if total else None)}"
        print(f"\r{told}\x1b[K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class StepBar:
    """The same for the steps of a training: call it with steps done, steps in all and the loss."""

    def __init__(self) -> None:
        self._start, self._last = 0.0, 0.0
        self._shown = sys.stderr.isatty() and is_first()

    def __call__(self, done: int, total: int, loss: float) -> None:
        """Show that `done` steps are done, a few times per second."""
        now = time.monotonic()
        if done == 1:
            self._start = now
        if not self._shown or (now - self._last < 0.2 and done < total):
            return
        self._last = now
        filled = _WIDTH * done // total
        text = f"step {done}/{total} [{'#' * filled}{'.' * (_WIDTH - filled)}] loss {loss:.4g}"
        if now > self._start:
            text += f", {rate_and_eta((done - 1) / (now - self._start), total - done)}"
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def rate_and_eta(rate: float, left: int | None) -> str:
    """Say how fast something goes, per second, and when it will be done.

    Args:
        rate: images, steps, ... per second.
        left: so many are to do; None if nobody knows.
    """
    told = f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
    if not left or rate <= 0:
        return told
    minutes, seconds = divmod(round(left / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{told}, {hours}:{minutes:02}:{seconds:02} left"
