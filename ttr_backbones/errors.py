"""Errors for bad user input: what was expected, what came, what to do.

The command line prints an `InputError` as one message without a traceback; everything else is a
bug of ours and keeps its traceback. A `StopSignal` is no error, but ends a command all the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what to do about it."""


class MissingFileError(InputError, FileNotFoundError):
    """A file or folder that the user named does not exist."""

    def __str__(self) -> str:
        # FileNotFoundError would format its arguments as an errno pair.
        return str(self.args[0]) if self.args else ""


class StopSignal(KeyboardInterrupt):
    """A signal asked the process to end, and what had to be done first is done.

    Args:
        message: one line for the user; "" where another process prints it.
        number: the signal's number.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown `name`: the nearest known ones, then all (at most 20).

    Of more than 100 names only the nearest are listed.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(known[:20]) + (f", ... ({len(known)} in all)" if len(known) > 20 else "")
    if near and len(known) > 100:
        return f"unknown {kind} {name!r}.{hint} ({len(known):,} are known.)"
    return f"unknown {kind} {name!r}.{hint} Known: {listed}."


def as_sentence(text: str) -> str:
    """End `text` with a full stop if it ends with no mark of its own; lists below it stay."""
    text = text.rstrip()
    return text if not text or "\n" in text or text[-1] in ".!?:;," else f"{text}."
