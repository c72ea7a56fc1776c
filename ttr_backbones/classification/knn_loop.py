"""`KnnTestLoop`: a test that first reads the labelled images."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_gather, get_world_size
from mmengine.runner import TestLoop
from mmengine.runner.amp import autocast
from mmseg.registry import LOOPS
from torch import Tensor

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
            model.eval()
            # The hooks of a test have to be in place, as the feature cache.
            features, labels = self._features(model)
            model.set_bank(features, labels, len(self.bank.dataset.metainfo["classes"]))
        return super().run()

    @torch.no_grad()
    def _features(self, model: Any) -> tuple[Tensor, Tensor]:
        """Features [N, C] and classes [N] of all labelled images, in order, in every process."""
        features, labels, places = [], [], []
        begun = logged = time.monotonic()
        for number, batch in enumerate(self.bank, 1):
            data = model.data_preprocessor(batch, False)
            with autocast(enabled=self.fp16):  # as the images of the test
                features.append(model.embed(data["inputs"]).to(model.bank_dtype))
            labels += [sample.gt_label for sample in data["data_samples"]]
            places += [sample.sample_idx for sample in data["data_samples"]]
            if time.monotonic() - logged > _EVERY or number == len(self.bank):
                logged = time.monotonic()
                left = (logged - begun) / number * (len(self.bank) - number)
                self.runner.logger.info(
                    f"labelled images: batch {number} of {len(self.bank)}, {left:.0f} s left"
                )
        found = torch.cat(features)
        numbers = torch.tensor([labels, places], device=found.device).T
        found, numbers = gathered(found), gathered(numbers)
        order = numbers[:, 1].argsort()
        return found[order], numbers[order, 0]


def gathered(rows: Tensor) -> Tensor:
    """Rows [n, ...] of this process -> those of all processes, [N, ...]; n may differ."""
    if get_world_size() == 1:
        return rows
    counts = torch.cat(all_gather(torch.tensor([len(rows)], device=rows.device))).tolist()
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = all_gather(padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
