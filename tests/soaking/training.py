"""`ttrb train` in a process of its own that tells how far it is, and can be sabotaged.

It is forked from a process that has imported everything: a start takes a second instead of ten.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.cli import main

_PATIENCE = 120.0  # seconds without a sign of life
_LOOK = 0.02
_NUMBER = 4  # bytes
_PR_SET_PDEATHSIG = 1  # of Linux: a signal when the parent dies

_pipe: int | None = None


@HOOKS.register_module()
class TellSoak(Hook):
    """Tells the soak run each iteration that is done; without one it does nothing."""

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Tell, before the checkpoint of this iteration is written."""
        if _pipe is not None:
            os.write(_pipe, (runner.iter + 1).to_bytes(_NUMBER, "little"))


@dataclass(frozen=True)
class Sabotage:
    """What goes wrong while a file is being written, once.

    Args:
        file: Part of the file's name.
        action: A signal that the process gets with half of the file written, or an `OSError`.
    """

    file: str
    action: signal.Signals | OSError

    def arm(self) -> None:
        """Let it happen in this process."""
        fsync = os.fsync
        done: list[Path] = []

        def sabotaged(fd: int) -> None:
            path = Path(f"/proc/self/fd/{fd}").readlink()
            if self.file in path.name and not done:
                done.append(path)
                if isinstance(self.action, OSError):
                    raise self.action
                if self.action == signal.SIGKILL:
                    os.truncate(fd, os.fstat(fd).st_size // 2)
                os.kill(os.getpid(), self.action)
            fsync(fd)

        os.fsync = sabotaged  # type: ignore[assignment]


def warm_up() -> None:
    """Import what a training needs, and take from it what costs more than these iterations do.

    mmengine formats the config for every checkpoint, and collects garbage for every data set.
    """
    import mmengine.config.config
    import mmengine.dataset.base_dataset

    import ttr_backbones.app.runner  # noqa: F401

    torch.set_num_threads(1)  # a process that has used more must not be forked
    mmengine.config.config.FormatCode = lambda text, **_: (text, True)
    mmengine.dataset.base_dataset.gc = SimpleNamespace(collect=lambda: 0)
    gc.collect()
    gc.freeze()


class Training:
    """A running `ttrb train`.

    Args:
        arguments: Of the command.
        output: Where to put what it says.
        sabotage: What is to go wrong in it.

    Attributes:
        iteration: The last one that it has told; 0 before the first.
        exit_code: As `multiprocessing` has it: negative for a signal, None while it runs.
    """

    def __init__(
        self, arguments: Sequence[str], output: Path, sabotage: Sabotage | None = None
    ) -> None:
        self._output, self.iteration = output, 0
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        sys.stdout.flush()  # else the child would say it again
        self._process = multiprocessing.get_context("fork").Process(
            target=_train, args=(arguments, output, writing, sabotage)
        )
        self._process.start()
        os.close(writing)

    @property
    def exit_code(self) -> int | None:
        """As the class says."""
        return self._process.exitcode

    @property
    def said(self) -> str:
        """Everything that it has printed."""
        return self._output.read_text(errors="replace")

    @property
    def last_words(self) -> str:
        """The last thing that `ttrb` itself has printed, without its name."""
        if self.exit_code == -signal.SIGKILL:
            return "(it was killed)"
        told = [line for line in self.said.splitlines() if line.startswith("ttrb: ")]
        return told[-1].removeprefix("ttrb: ") if told else ""

    def run_until(self, count: int | None = None) -> bool:
        """Wait for `count` further iterations, or for the end; return whether it still runs."""
        deadline, done = time.monotonic() + _PATIENCE, 0
        while self.exit_code is None and (count is None or done < count):
            if select.select([self._reading], [], [], _LOOK)[0] and self._listen():
                deadline, done = time.monotonic() + _PATIENCE, done + 1
            if time.monotonic() > deadline:
                self.end()
        if self.exit_code is not None:
            while self._listen():
                pass
            os.close(self._reading)
        return self.exit_code is None

    def end(self) -> None:
        """Kill it if it still runs."""
        if self.exit_code is None:
            self.signal(signal.SIGKILL, group=True)
            self._process.join()

    def _listen(self) -> bool:
        try:
            told = os.read(self._reading, _NUMBER)
        except BlockingIOError:
            return False
        self.iteration = int.from_bytes(told, "little") if told else self.iteration
        return bool(told)

    def signal(self, number: signal.Signals, *, group: bool) -> None:
        """Send a signal to the process, or to it and its data-loader workers at once."""
        (os.killpg if group else os.kill)(self._process.pid or 0, number)


def _train(arguments: Sequence[str], output: Path, pipe: int, sabotage: Sabotage | None) -> None:
    global _pipe  # noqa: PLW0603 -- mmengine makes the hook, from a config
    os.setsid()  # a group of its own, for `signal`
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it would train for ever
    sys.stdout = sys.stderr = output.open("w", buffering=1)
    for number in (1, 2):  # what is not written by Python
        os.dup2(sys.stdout.fileno(), number)
    _pipe = pipe
    if sabotage is not None:
        sabotage.arm()
    sys.exit(main(["train", *arguments]))
