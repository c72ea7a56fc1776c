"""That a stopped run loses nothing is tested on real ones, in test_soaking/test_run.py."""

import signal
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict

from ttr_backbones.engine import HeadCheckpointHook, SaveOnSignal, stop_signals
from ttr_backbones.errors import StopSignal


class Saving(HeadCheckpointHook):
    """Notes what it is asked to save."""

    def __init__(self):
        super().__init__(by_epoch=False)
        self.saved = []

    def save(self, runner, step):
        self.saved.append(step)


def make_runner(tmp_path, **others):
    updated = SimpleNamespace(should_update=lambda: True)
    values = {"iter": 6, "max_iters": 12, "optim_wrapper": updated, "work_dir": tmp_path}
    return SimpleNamespace(hooks=[Saving()], **values | others)


def stopped(*steps, by=signal.SIGTERM):
    """Take the steps, the signal being sent before the last one, and return how they end."""
    with pytest.raises(StopSignal) as stop:
        _listening(steps, by)
    return str(stop.value)


def _listening(steps, number):
    with stop_signals():
        for step in steps[:-1]:
            step()
        signal.raise_signal(number)
        steps[-1]()


def test_training__ends_after_the_iteration_with_a_checkpoint(tmp_path):
    runner, hook = make_runner(tmp_path), SaveOnSignal()
    torch.save({}, tmp_path / "iter_7.pth")
    before, after = (partial(step, runner) for step in (hook.before_train, hook.after_train_iter))
    assert stopped(before, after, lambda: runner.hooks[0].saved or after()) == (
        "stopped by SIGTERM after iteration 7 of 12. The last complete checkpoint is "
        f"{tmp_path / 'iter_7.pth'}: repeat the command with --resume to go on from there."
    )
    assert runner.hooks[0].saved == [7]


def test_validation__ends_after_the_batch_with_a_checkpoint(tmp_path):
    runner, hook = make_runner(tmp_path), SaveOnSignal()
    steps = (partial(step, runner) for step in (hook.before_train, hook.after_val_iter))
    told = stopped(*steps, by=signal.SIGUSR1)
    assert told.startswith("stopped by SIGUSR1 in the validation after iteration 6. No checkpoint")
    assert runner.hooks[0].saved == [6]


def test_test__ends_after_the_batch(tmp_path):
    runner, hook = make_runner(tmp_path), SaveOnSignal()
    steps = (partial(step, runner) for step in (hook.before_test, hook.after_test_iter))
    assert stopped(*steps) == "stopped by SIGTERM in the test"
    assert not runner.hooks[0].saved


@pytest.mark.parametrize("several", [False, True])
def test_accumulated_gradients__are_not_lost(tmp_path, several):
    """No checkpoint holds them: the run goes on until they are in the weights."""
    weight = torch.nn.Parameter(torch.zeros(1))
    wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.0), accumulative_counts=2)
    wrapper.initialize_count_status(torch.nn.Linear(1, 1), 0, 100)
    wrappers = OptimWrapperDict(head=wrapper) if several else wrapper
    runner, hook = make_runner(tmp_path, optim_wrapper=wrappers), SaveOnSignal()

    def train():
        for runner.iter in (6, 7):
            assert weight == 0
            wrapper.update_params(weight.sum())
            hook.after_train_iter(runner)

    assert "after iteration 8 of 12" in stopped(partial(hook.before_train, runner), train)
    assert weight != 0


def test_several_processes__compare_notes_once_in_a_second(tmp_path, monkeypatch):
    """Both know of the signal of one, and that an iteration of the slower one takes 0.3 s."""
    looked, clock = [], iter(range(1000))

    def all_reduce(told, op):
        assert op == "max"
        looked.append(runner.iter + 1)
        told[1] = max(told[1], 0.3)
        told[0] = signal.SIGTERM if runner.iter > 8 else 0

    patched = "ttr_backbones.engine.save_on_signal"
    monkeypatch.setattr(f"{patched}.get_world_size", lambda: 2)
    monkeypatch.setattr(f"{patched}.all_reduce", all_reduce)
    monkeypatch.setattr(f"{patched}.time.monotonic", lambda: next(clock) / 10)
    runner, hook = make_runner(tmp_path, iter=0), SaveOnSignal()
    hook.before_train(runner)

    def train():
        for runner.iter in range(12):
            hook.after_train_iter(runner)

    with pytest.raises(StopSignal, match="stopped by SIGTERM after iteration 10"):
        train()
    assert looked == [1, 4, 7, 10]
    assert runner.hooks[0].saved == [10]


def save(hook, **info):
    written = []
    hook._save_checkpoint_with_step = lambda runner, step, meta: written.append((step, meta))
    hook.save(SimpleNamespace(epoch=0), 7)
    return written


def test_save__writes_once_and_never_amid_an_epoch():
    hook = HeadCheckpointHook(by_epoch=False)
    assert save(hook) == [(7, {"epoch": 0, "iter": 7})]
    hook.last_ckpt = "work/iter_7.pth"
    assert save(hook) == []
    assert save(HeadCheckpointHook(by_epoch=True)) == []
