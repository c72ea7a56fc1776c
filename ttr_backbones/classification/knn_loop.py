"""`KnnTestLoop`: a test that first reads the labelled images."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

from mmengine.runner import TestLoop
from mmseg.registry import LOOPS

from ttr_backbones.classification.bank import fill_bank
from ttr_backbones.classification.check_classes import check_same_classes
from ttr_backbones.engine.unwrap import unwrapped

_EVERY = 10.0  # seconds between two lines of the log


@LOOPS.register_module()
class KnnTestLoop(TestLoop):
    """mmengine's TestLoop for a `KnnClassifier`.

    Before the test the features of all labelled images are computed, each once, shared among the
    processes of a run; then every process has all of them, in the order of the data set.

    Args:
        runner: mmengine's.
        dataloader: of the test.
        evaluator: of the test.
        bank: config of the data loader of the labelled images. Its sampler must not shuffle or
            repeat images: `dict(type="DefaultSampler", shuffle=False, round_up=False)`.
        fp16: as for `TestLoop`.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        evaluator: Any,
        bank: Mapping[str, Any],
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.bank = runner.build_dataloader(copy.deepcopy(bank), seed=runner.seed)

    def run(self) -> Any:
        """Read the labelled images, and test."""
        model: Any = unwrapped(self.runner.model)
        check_same_classes(self.bank.dataset, self.dataloader.dataset)
        if not model.has_bank:
            # The hooks of a test have to be in place, as the feature cache.
            fill_bank(model, self.bank, _Logged(self.runner.logger), fp16=self.fp16)
        return super().run()


class _Logged:
    """Says in the log how far the labelled images are, every few seconds."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._begun = self._logged = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if total is None or (now - self._logged <= _EVERY and done < total):
            return
        self._logged = now
        left = (now - self._begun) / done * (total - done)
        self._logger.info(f"labelled images: {done} of {total}, {left:.0f} s left")
