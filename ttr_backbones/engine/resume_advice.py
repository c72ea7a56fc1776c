"""What to do after a run that could not go on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from ttr_backbones.atomic import clear_write_errors
from ttr_backbones.engine.checkpoint import resume_hint
from ttr_backbones.errors import InputError, StopSignal


@contextlib.contextmanager
def advise_resume(runner: Any) -> Iterator[None]:
    """Put how to go on behind what stops `runner.train()`.

    A disk that is full, an image that cannot be read: once that is mended, the run goes on. So it
    does after a second Ctrl-C, from the checkpoint before.
    """
    try:
        with clear_write_errors():
            yield
    except InputError as error:
        if "max_iters" in runner.message_hub.runtime_info:  # what mmengine sets before training
            # In place, since it may be of any class, which the text of a worker's error repeats.
            error.args = (f"{str(error).rstrip()} {resume_hint(runner.work_dir)}",)
        raise
    except KeyboardInterrupt as stop:
        if isinstance(stop, StopSignal):
            raise
        message = f"interrupted at once. {resume_hint(runner.work_dir)}"
        raise StopSignal(message, signal.SIGINT) from stop
