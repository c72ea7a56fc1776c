"""Ending a run in good order when a signal asks for it."""

from __future__ import annotations

import signal
import time
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmseg.registry import HOOKS

from ttr_backbones.engine.checkpoint import HeadCheckpointHook, resume_hint
from ttr_backbones.engine.stop_signals import defer_stop, stop_signal
from ttr_backbones.errors import StopSignal


@HOOKS.register_module()
class SaveOnSignal(Hook):
    """On SIGTERM, SIGUSR1 or Ctrl-C finishes the iteration, writes a checkpoint and ends the run.

    It needs `stop_signals()` around the run, which `ttrb train` and `ttrb compare` have. In a
    validation it writes the checkpoint after the current batch: a resumed run validates again.

    Several processes have to stop after the same iteration, or those that go on would wait for the
    others for ever. One of them may be signalled before another or alone, so they compare notes,
    by an all-reduce of two numbers, as rarely as `every` allows. In a validation, whose batches
    need no other process, each one that is signalled ends by itself.

    Args:
        every: Seconds between two comparisons of several processes. torchrun and slurm give 30 s
            between the signal and the end by default.
    """

    priority = "LOWEST"  # the checkpoint of this iteration is written, the learning rate is set

    def __init__(self, every: float = 1.0) -> None:
        self.every = every
        self._agreed: signal.Signals | None = None
        self._training = False

    def before_train(self, runner: Any) -> None:
        """From now on a signal waits for the end of an iteration."""
        self._training = True
        self._last_check, self._next_check = (runner.iter, time.monotonic()), runner.iter + 1
        defer_stop()

    def before_test(self, runner: Any) -> None:  # noqa: ARG002
        """From now on a signal waits for the end of a batch."""
        defer_stop()

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Stop if a process was asked to, unless gradients are still being accumulated."""
        step = runner.iter + 1
        self._agreed = self._agreed or self._signal_anywhere(step)
        if self._agreed and _has_updated(runner.optim_wrapper):
            _save(runner, step)
            barrier()  # the process that writes is not left alone
            _end(runner, self._agreed, f"after iteration {step} of {runner.max_iters}")

    def after_val_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Stop if this process was asked to."""
        stop = stop_signal()
        if stop and self._training:
            _save(runner, runner.iter)
            _end(runner, stop, f"in the validation after iteration {runner.iter}")

    def after_test_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Stop if this process was asked to."""
        stop = stop_signal()
        if stop:
            raise StopSignal(f"stopped by {stop.name} in the test", stop.value)

    def _signal_anywhere(self, step: int) -> signal.Signals | None:
        if get_world_size() == 1:
            return stop_signal()
        if step < self._next_check:
            return None
        (last_step, then), now = self._last_check, time.monotonic()
        state = torch.tensor([int(stop_signal() or 0), (now - then) / (step - last_step)])
        all_reduce(state, op="max")  # so that all know the same, also when to look next
        number, seconds = state.tolist()
        self._last_check, self._next_check = (step, now), step + max(1, int(self.every / seconds))
        return signal.Signals(int(number)) if number else None


def _has_updated(optim_wrapper: Any) -> bool:
    wrappers = [optim_wrapper]
    if isinstance(optim_wrapper, OptimWrapperDict):
        wrappers = list(optim_wrapper.values())
    return all(wrapper.should_update() for wrapper in wrappers)


def _save(runner: Any, step: int) -> None:
    for hook in runner.hooks:
        if isinstance(hook, HeadCheckpointHook):
            hook.save(runner, step)


def _end(runner: Any, stop: signal.Signals, where: str) -> None:
    message = f"stopped by {stop.name} {where}. {resume_hint(runner.work_dir)}"
    raise StopSignal(message if is_main_process() else "", stop.value)
