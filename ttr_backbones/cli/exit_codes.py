"""What `ttrb` returns to the shell; 0 is success, and 1 a check that failed or a bug."""

from __future__ import annotations

from ttr_backbones.errors import StopSignal

EXIT_INPUT_ERROR = 2
EXIT_NO_OUTLIERS = 3  # of repair: nothing is wrong, and there is nothing to find
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141


def exit_code_of(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a command that a signal or Ctrl+C has ended."""
    return stop.exit_code if isinstance(stop, StopSignal) else EXIT_INTERRUPTED
