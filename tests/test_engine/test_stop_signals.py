import multiprocessing
import os
import signal
import subprocess
import threading
import time

import pytest

from ttr_backbones.engine.stop_signals import SIGNALS, defer_stop, stop_signal, stop_signals
from ttr_backbones.errors import StopSignal


def listening(run, *args):
    with stop_signals():
        run(*args)


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture(autouse=True)
def interruptible(monkeypatch):
    """A shell that starts the tests in the background has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGINT, 130)]
)
def test_before_the_run_looks__the_signal_ends_it_at_once(number, exit_code):
    with pytest.raises(StopSignal, match=r"stopped by SIG\w+ before the first iteration") as stop:
        listening(signal.raise_signal, number)
    assert stop.value.exit_code == exit_code


def test_a_run_that_looks__goes_on_until_it_stops_itself():
    def run():
        defer_stop()
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)  # torchrun's, after slurm's
        raise StopSignal("its own end", stop_signal())

    with pytest.raises(StopSignal, match="its own end") as stop:
        listening(run)
    assert stop.value.exit_code == 128 + signal.SIGUSR1


@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c__the_second_stops_at_once_unless_a_launcher_repeats_it(
    processes, monkeypatch, capfd
):
    monkeypatch.setenv("WORLD_SIZE", processes)
    reached = []

    def run():
        defer_stop()
        signal.raise_signal(signal.SIGINT)
        reached.append(stop_signal())
        signal.raise_signal(signal.SIGINT)
        raise StopSignal("its own end", stop_signal())

    with pytest.raises(KeyboardInterrupt) as stop:
        listening(run)
    assert reached == [signal.SIGINT]
    assert isinstance(stop.value, StopSignal) == (processes == "2")
    assert ("Ctrl-C again stops at once" in capfd.readouterr().err) == (processes == "1")


def test_ctrl_c__that_is_ignored_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listening(signal.raise_signal, signal.SIGINT)


def test_a_complete_run__is_stopped_all_the_same():
    """Else `ttrb compare` would go on with the next cell."""

    def run():
        defer_stop()
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StopSignal, match="SIGTERM came when the run was complete"):
        listening(run)


def test_handlers__are_restored():
    before, during = handlers(), []

    def fail():
        during.append(handlers())
        raise KeyError

    with pytest.raises(KeyError):
        listening(fail)
    assert handlers() == before != during[0]
    assert stop_signal() is None


def test_another_thread__leaves_the_handlers_alone():
    before, during = handlers(), []
    thread = threading.Thread(target=listening, args=(lambda: during.append(handlers()),))
    thread.start()
    thread.join()
    assert during == [before]


def test_worker__outlives_a_signal_to_all_and_obeys_its_parent():
    with stop_signals():
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        worker.start()
        for name in ("TERM", "USR1", "INT", "TERM"):
            subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
        worker.join(0.3)
        assert worker.is_alive()
        os.kill(worker.pid, signal.SIGTERM)
        worker.join(10)
        assert worker.exitcode == 0
