import errno
import os
import signal
import sys
import time

import pytest
from soaking import training
from soaking.training import Sabotage, Training

from ttr_backbones.atomic import UnwritableError, write_atomically


@pytest.fixture
def started(monkeypatch, tmp_path):
    """A training that tells three iterations, and waits where it is told to."""

    def start(wait):
        def main(arguments):
            for iteration in (5, 6, 7):
                os.write(training._pipe, iteration.to_bytes(4, "little"))
                if wait == iteration:
                    time.sleep(60)
            sys.stderr.write(f"ttrb: note: first\nttrb: stopped by nothing {arguments}\n")
            return 3

        monkeypatch.setattr(training, "main", main)
        return Training(["a.py"], tmp_path / "said.txt")

    return start


def test_training__is_followed_to_its_end(started):
    run = started(wait=None)
    assert not run.run_until()
    assert (run.exit_code, run.iteration) == (3, 7)
    assert run.last_words == "stopped by nothing ['train', 'a.py']"


def test_training__is_met_between_two_iterations_and_killed(started):
    run = started(wait=6)
    assert run.run_until(2)
    assert run.iteration == 6
    run.signal(signal.SIGKILL, group=True)
    assert not run.run_until()
    assert run.exit_code == -signal.SIGKILL
    assert run.last_words == "(it was killed)"


def test_training__that_says_nothing_is_given_up(started, monkeypatch):
    monkeypatch.setattr(training, "_PATIENCE", 0.3)
    run = started(wait=5)
    assert not run.run_until()
    assert run.exit_code == -signal.SIGKILL


def test_sabotage__hits_the_file_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", os.fsync)  # and back
    Sabotage("iter_", OSError(errno.ENOSPC, "injected")).arm()
    write_atomically(tmp_path / "best.pth", b"")
    with pytest.raises(UnwritableError, match=r"iter_8\.pth .*no space is left"):
        write_atomically(tmp_path / "iter_8.pth", b"content")
    write_atomically(tmp_path / "iter_8.pth", b"content")


def test_sabotage__kills_amid_the_file(tmp_path):
    pid = os.fork()
    if pid == 0:
        Sabotage("iter_", signal.SIGKILL).arm()
        write_atomically(tmp_path / "iter_8.pth", bytes(100))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left.name, left.stat().st_size) == (f".iter_8.pth.{pid}.partial", 50)
