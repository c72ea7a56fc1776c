"""The Runner of this project leaves nothing behind."""

import torch
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ttr_backbones.engine.runner import SafeRunner


class Loop(BaseLoop):
    def run(self):
        self.dataloader_iterator = iter(self.dataloader)
        return next(self.dataloader_iterator)


def test_workers__end_with_the_run_and_not_with_the_garbage():
    loader = DataLoader(torch.arange(4), num_workers=1, persistent_workers=True)
    runner = SafeRunner.__new__(SafeRunner)
    runner._train_loop, runner._val_loop, runner._test_loop = Loop(runner, loader), None, {}
    assert runner._train_loop.run().tolist() == [0]
    (worker,) = loader._iterator._workers
    runner._end_workers()
    assert worker.exitcode == 0, "it ended by itself, and nobody had to wait and terminate it"
    assert next(iter(loader)).tolist() == [0], "another epoch has workers of its own"
    runner._end_workers()


def test_train__called_again_has_data(monkeypatch):
    """As after an interrupt in a notebook."""
    monkeypatch.setattr(Runner, "train", lambda self: next(self._train_loop.dataloader_iterator))
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    loop.dataloader, loop.dataloader_iterator = DataLoader(torch.arange(4)), iter(torch.arange(1))
    runner = SafeRunner.__new__(SafeRunner)
    runner._train_loop, runner._val_loop, runner._test_loop = loop, None, None
    assert [runner.train().tolist() for _ in range(2)] == [0, [0]]
