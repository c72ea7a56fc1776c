"""What to do after a run that could not go on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from ttr_backbones.atomic import in_words
from ttr_backbones.engine.checkpoint import how_to_go_on
from ttr_backbones.errors import InputError, StopSignal


@contextlib.contextmanager
def advise_resume(runner: Any) -> Iterator[None]:
    """Put how to go on behind what stops `runner.train()`.

    A disk that is full, an image that cannot be read: once that is mended, the run goes on. So it
    does after a second Ctrl-C, from the checkpoint before.
    """
    try:
        with in_words():
            yield
    except InputError as error:
        if "max_iters" in runner.message_hub.runtime_info:  # what mmengine sets before training
            # In place, since it may be of any class, which the text of a worker's error repeats.
            error.args = (f"{str(error).rstrip()} {how_to_go_on(runner.work_dir)}",)
        raise
    except KeyboardInterrupt as stop:
        if isinstance(stop, StopSignal):
            raise
        told = f"interrupted at once. {how_to_go_on(runner.work_dir)}"
        raise StopSignal(told, signal.SIGINT) from stop
