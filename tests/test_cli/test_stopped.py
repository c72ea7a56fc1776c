"""`ttrb train` that is told to stop, or finds that it cannot write; test_soaking resumes it."""

import os
import signal
from pathlib import Path

import pytest

from ttr_backbones.cli import main
from ttr_backbones.engine import SaveOnSignal, StopOnNaN


@pytest.fixture
def signal_in(monkeypatch):
    """Let a signal come in an iteration; of several processes to the last one only."""

    def set_iteration(iteration, number=signal.SIGTERM):
        check = StopOnNaN.after_train_iter

        def after_train_iter(self, runner, *args, **kwargs):
            check(self, runner, *args, **kwargs)
            if runner.iter + 1 == iteration and os.environ.get("RANK", "1") == "1":
                signal.raise_signal(number)

        monkeypatch.setattr(StopOnNaN, "after_train_iter", after_train_iter)

    return set_iteration


def test_one_process__stops_after_the_iteration(signal_in, config, tmp_path, capsys):
    # A shell that starts the tests in the background has SIGINT ignored.
    around = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal_in(3, signal.SIGINT)
    try:
        assert main(["train", str(config), "--work-dir", str(tmp_path)]) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, around)
    path = tmp_path / "iter_3.pth"
    assert [path] == list(tmp_path.glob("*.pth"))
    assert capsys.readouterr().err.splitlines()[-1] == (
        "ttrb: stopped by SIGINT after iteration 3 of 12. The last complete checkpoint is "
        f"{path}: repeat the command with --resume to go on from there."
    )


def test_two_processes__stop_after_the_same_iteration(
    two_processes, signal_in, config, tmp_path, monkeypatch
):
    signal_in(3)
    monkeypatch.setattr(SaveOnSignal.__init__, "__defaults__", (0.0,))  # look at every iteration
    arguments = ["train", str(config), "--launcher", "pytorch", "--work-dir", str(tmp_path)]
    first, second = two_processes(main, arguments)
    assert first.value == second.value == 143
    assert "ttrb: stopped by SIGTERM after iteration 3 of 12. The last complete" in first.err
    assert "stopped" not in second.err  # one tells it
    assert [path.name for path in tmp_path.glob("*.pth")] == ["iter_3.pth"]


def test_compare__stops_and_goes_on_from_there(signal_in, config, tmp_path, capsys):
    command = ["compare", str(config), "--repairs", "none", "--seeds", "0"]
    command += ["--out", str(tmp_path)]
    signal_in(3)
    assert main(command) == 143
    told = "ttrb: interrupted; 0 of 1 cells are done. The same command goes on from here"
    assert told in capsys.readouterr().err
    assert main(command) == 0
    assert "resumed from iter_3.pth)" in capsys.readouterr().err


def test_work_dir__is_tried_before_the_model_is_built(config, capsys, monkeypatch):
    if not Path("/sys").is_mount():
        pytest.skip("no sysfs, in which nobody can make a folder")
    monkeypatch.setattr("mmengine.runner.Runner.from_cfg", lambda cfg: pytest.fail("was built"))
    assert main(["train", str(config), "--work-dir", "/sys/run"]) == 2
    assert "ttrb: error: /sys/run cannot be written: " in capsys.readouterr().err
