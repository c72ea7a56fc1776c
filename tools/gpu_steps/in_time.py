"""A step in a process of its own, which is killed when its time is over.

The process is forked from one that has imported everything and not touched the GPU: it starts in
no time, and a hang, an exhausted GPU or a crash ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import select
import signal
import sys
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gpu_steps.step import Check, Fact, NotPossibleError, Step

_POLL_SECONDS = 0.1  # seconds
_PR_SET_PDEATHSIG = 1  # of Linux: a signal when the parent dies


@dataclass(frozen=True)
class StepOutcome:
    """How a step ended.

    Args:
        state: "ok", "failed", "cut" at the end of its time, or "not possible".
        why: one line; empty if all is well.
        seconds: that it took.
    """

    state: str
    why: str
    seconds: float


def run_in_time(
    step: Step, check: Check, seconds: float, log: Path, again: list[str]
) -> StepOutcome:
    """Run a step for at most so many seconds.

    Args:
        step: to run.
        check: what it gets; its `write` is called here, in this process.
        seconds: when they are over, the step and all that it started are killed.
        log: file that what it prints is added to.
        again: the command that runs the step anew, for a process that must not use CUDA since its
            parent has; it is given one more argument, the file descriptor to write facts to.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_inheritable(writing, True)
    start = time.monotonic()
    sys.stdout.flush()  # else the child would say it again
    process = multiprocessing.get_context("fork").Process(
        target=_child, args=(step, check, writing, log, again)
    )
    process.start()
    os.close(writing)
    lines = _Lines(reading)
    ended: list[str] = []
    while time.monotonic() < start + seconds:
        alive = process.exitcode is None
        for fact in lines.read(_POLL_SECONDS if alive else 0):
            ended += [fact["ended"], fact["why"]] if "ended" in fact else []
            if "ended" not in fact:
                check.write(fact)
        if not alive:
            break
    cut = process.exitcode is None
    # Whatever it has started is in its group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    os.close(reading)
    taken = time.monotonic() - start
    if ended:
        return StepOutcome(ended[0], ended[1], taken)
    if cut:
        return StepOutcome("cut", f"killed after {taken:.0f} s", taken)
    return StepOutcome("failed", f"the process ended with {process.exitcode}", taken)


class _Lines:
    """Facts, a line of JSON each, from a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._rest = pipe, b""

    def read(self, patience: float) -> list[Fact]:
        """Give what has come; wait for the first of it as long as `patience` allows."""
        if not select.select([self._pipe], [], [], patience)[0]:
            return []
        while True:
            try:
                part = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                time.sleep(patience)  # the other end is closed
                break
            self._rest += part
        *whole, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in whole]


def _child(step: Step, check: Check, pipe: int, log: Path, again: list[str]) -> None:
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with log.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    print(f"\n=== {step.name}", flush=True)
    if check.device.type == "cuda" and torch.cuda._is_in_bad_fork():  # noqa: SLF001
        os.execv(again[0], [*again, str(pipe)])
    run_and_write_facts(step, check, pipe)


def run_and_write_facts(step: Step, check: Check, pipe: int) -> None:
    """Run a step in this process, and write its facts and how it ended to `pipe`."""

    def write(fact: Fact) -> None:
        os.write(pipe, json.dumps(fact).encode() + b"\n")

    state, why = "ok", ""
    try:
        with _quickly(check.device):
            step.run(replace(check, write=write))
    except NotPossibleError as reason:
        state, why = "not possible", str(reason)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the others go on)
        traceback.print_exc()
        first = str(error).strip().partition("\n")[0]
        state, why = "failed", f"{type(error).__name__}: {first}"
    write({"ended": state, "why": why})


def _quickly(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """On a CPU, run eagerly what is to be compiled: that would take longer than all the rest."""
    stance: Any = getattr(torch.compiler, "set_stance", None)
    rehearsed = device.type == "cpu" and stance is not None
    return stance("force_eager") if rehearsed else contextlib.nullcontext()
