"""What is told when a command fails, and what torchrun makes of it."""

import signal
import time

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from ttr_backbones.app import failure


@pytest.fixture
def told_to_torchrun(tmp_path, monkeypatch):
    """What torchrun reads where this process failed, with torchrun's own code."""
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))

    def read():
        start = int(time.time())
        failed = ProcessFailure(1, 123, exitcode=2, error_file=str(tmp_path / "error.json"))
        assert start - 60 < failed.timestamp <= start
        return failed.message["message"]

    return read


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")


def test_tell__alone(capsys, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    failure.print_error("expected this, got that")
    assert capsys.readouterr().err == "ttrb: error: expected this, got that.\n"


def test_tell__names_the_process_and_reaches_torchrun(capsys, second_of_two, told_to_torchrun):
    failure.print_error("expected this, got that.")
    told = capsys.readouterr().err
    assert told == "ttrb: error (process 1 of 2): expected this, got that.\n"
    assert told_to_torchrun() == "expected this, got that."


def test_tell__where_torchrun_s_file_cannot_be_written(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "gone" / "error.json"))
    failure.print_error("expected this, got that")
    assert "expected this, got that" in capsys.readouterr().err


def test_record__hands_on_the_traceback_of_a_bug_at_once(capsys, second_of_two, told_to_torchrun):
    start = time.monotonic()
    try:
        raise RuntimeError("a bug; no gloo was used")
    except RuntimeError as error:
        failure.record_bug(error)
    assert time.monotonic() - start < failure._PATIENCE
    assert capsys.readouterr().err == "", "Python prints the traceback"
    assert "test_failure.py" in told_to_torchrun()
    assert "RuntimeError: a bug" in told_to_torchrun()


def lost_another(error):
    waited = []
    failure.time.sleep = waited.append
    failure.record_bug(error)
    return waited, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_record__waits_to_be_ended_where_another_process_was_lost(two_processes):
    error = RuntimeError("[third_party/gloo/tcp/pair.cc:1] Connection closed by peer")
    for rank, outcome in enumerate(two_processes(lost_another, error)):
        assert outcome.value == ([failure._PATIENCE], True)
        assert outcome.err == (
            f"ttrb: error (process {rank} of 2): the connection to the other processes broke off; "
            "if one of them failed, its own error says why.\n"
        )
