import errno
from types import SimpleNamespace

import pytest
import torch

from ttr_backbones.app.failure import original_message
from ttr_backbones.atomic import UnwritableError
from ttr_backbones.engine import advise_resume
from ttr_backbones.errors import InputError, MissingFileError, StopSignal


@pytest.fixture
def runner(tmp_path):
    torch.save({}, tmp_path / "iter_8.pth")
    hub = SimpleNamespace(runtime_info={"max_iters": 12})
    return SimpleNamespace(message_hub=hub, work_dir=tmp_path)


@pytest.mark.parametrize("kind", [InputError, MissingFileError])
def test_error_of_a_training__gets_advice(runner, tmp_path, kind):
    with pytest.raises(kind) as failure, advise_resume(runner):
        raise kind("the image a.jpg is empty.\n")
    assert str(failure.value) == (
        f"the image a.jpg is empty. The last complete checkpoint is {tmp_path / 'iter_8.pth'}: "
        "repeat the command with --resume to go on from there."
    )


def test_second_ctrl_c__gets_advice(runner, tmp_path):
    with pytest.raises(StopSignal) as stop, advise_resume(runner):
        raise KeyboardInterrupt
    told = f"interrupted at once. The last complete checkpoint is {tmp_path / 'iter_8.pth'}: "
    assert str(stop.value).startswith(told)
    assert stop.value.exit_code == 130
    with pytest.raises(StopSignal, match=r"^by itself$"), advise_resume(runner):
        raise StopSignal("by itself", 15)


def test_error_of_a_worker__keeps_its_mark(runner):
    told = "Caught InputError in DataLoader worker process 0.\nOriginal Traceback: ...\n"
    with pytest.raises(InputError) as failure, advise_resume(runner):
        raise InputError(f"{told}ttr_backbones.errors.InputError: it is empty.\n")
    assert original_message(failure.value).startswith("it is empty. The last complete checkpoint")


def test_full_disk__gets_advice(runner):
    told = "a.log cannot be written: no space.*iter_8.pth: repeat the command with --resume"
    with pytest.raises(UnwritableError, match=told), advise_resume(runner):
        raise OSError(errno.ENOSPC, "No space left on device", "a.log")


def test_before_the_training__there_is_nothing_to_go_on_with(runner):
    runner.message_hub.runtime_info.clear()
    with pytest.raises(InputError, match=r"^no such model$"), advise_resume(runner):
        raise InputError("no such model")


def test_a_bug__passes(runner):
    with pytest.raises(FileNotFoundError, match=r"^a$"), advise_resume(runner):
        raise FileNotFoundError("a")
