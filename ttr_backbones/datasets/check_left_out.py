"""Counting and naming, before a run, the files of its data folders that are in no sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.datasets.left_out import left_out


@HOOKS.register_module()
class CheckLeftOut(Hook):
    """Warns of images that a data set passes over: another suffix or case, or no partner.

    mmengine's data sets say nothing of a `.JPG` in a folder of `.jpg`. It is a warning, since a
    folder may hold more than the protocol wants. `ttrb check-data` counts it as a fault.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def before_train(self, runner: Any) -> None:
        """Look at the images that are trained on."""
        self._warn_of_left_out(runner, runner.train_dataloader)

    def before_val(self, runner: Any) -> None:
        """Look at the images of the validation, the first time."""
        self._warn_of_left_out(runner, runner.val_dataloader)

    def before_test(self, runner: Any) -> None:
        """Look at the images of the test."""
        self._warn_of_left_out(runner, runner.test_dataloader)

    def _warn_of_left_out(self, runner: Any, loader: Any) -> None:
        for dataset in _listing(loader.dataset):
            if id(dataset) not in self._seen and runner.rank == 0:
                for problem in left_out(dataset):
                    runner.logger.warning(problem)
            self._seen.add(id(dataset))


def _listing(dataset: Any) -> Iterator[BaseDataset]:
    """Yield the data sets that list folders, inside of wrappers."""
    if isinstance(dataset, BaseDataset):
        yield dataset
        return
    for inner in (getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or ())):
        if inner is not None:
            yield from _listing(inner)
