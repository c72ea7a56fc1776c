"""Signals that ask a run to stop, and data-loader workers that outlive them."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from ttr_backbones.errors import StopSignal

# slurm sends SIGUSR1 before the time limit if asked to: `--signal=USR1@60`.
SIGNALS: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
if sys.platform != "win32":
    SIGNALS = (*SIGNALS, signal.SIGUSR1)


class _Listener:
    """The signals that this process has received.

    Attributes:
        received: The first signal that came.
        deferred: Whether a run looks at `received`. Before that there is nothing to save, and the
            signal ends the process by a `StopSignal` at once.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.received: signal.Signals | None = None
        self.deferred = False

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        by_hand = number == signal.SIGINT and not _is_of_launcher()
        if by_hand and self.received:
            raise KeyboardInterrupt  # the second Ctrl-C: the user does not want to wait
        self.received = self.received or signal.Signals(number)
        if by_hand and self.deferred:
            message = "\nttrb: stopping after this iteration; Ctrl-C again stops at once.\n"
            with contextlib.suppress(OSError):
                os.write(2, message.encode())  # print may be at work where the signal came
        if not self.deferred:
            raise StopSignal(f"stopped by {self.received.name} before the first iteration", number)


def _is_of_launcher() -> bool:
    """Whether a launcher repeats to this process what the terminal has sent it already."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


_listener: _Listener | None = None


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Within the block SIGTERM, SIGUSR1 and Ctrl-C ask a run to stop, not ending the process.

    A run with `SaveOnSignal` then ends by a `StopSignal`. A second signal changes nothing, since
    torchrun and slurm send several; but a second Ctrl-C in a single process ends it at once. What
    the signals did before is restored, and a Ctrl-C that is ignored (as in the background of a
    shell) stays so.

    Raises:
        KeyboardInterrupt: The second Ctrl-C.
        StopSignal: One came, and the run did not see it because it was complete.
    """
    global _listener  # noqa: PLW0603 -- signals are the process's
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread may set handlers, and the process is not ours
        return
    _shield_workers()
    _listener = listener = _Listener()
    numbers = [n for n in SIGNALS if n != signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, listener) for number in numbers}
    try:
        yield
    finally:
        _listener = None
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if listener.received:
        raise StopSignal(
            f"{listener.received.name} came when the run was complete", listener.received.value
        )


def defer_stop() -> None:
    """Promise to look at `stop_signal` from now on."""
    if _listener is not None:
        _listener.deferred = True


def stop_signal() -> signal.Signals | None:
    """Return the signal that asked this process to stop, or None."""
    return None if _listener is None else _listener.received


def _shield_worker() -> None:
    """Let a data-loader worker live until its run is done with it.

    timeout, systemd and slurm signal all processes of a job. A worker would die at once, and torch
    would raise a RuntimeError in the midst of the iteration that the run wants to finish.
    """
    global _listener
    if _listener is None:
        return
    parent, _listener = _listener.pid, None
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Obey the signals of `parent` only: it terminates workers that hang."""
    if sys.platform == "linux":  # the only one that tells who has sent a signal
        while signal.sigwaitinfo(SIGNALS).si_pid != parent:
            pass
        os._exit(0)


@functools.cache  # what is registered stays
def _shield_workers() -> None:
    if sys.platform == "linux":
        os.register_at_fork(after_in_child=_shield_worker)
