"""A training loop that resumes at once."""

from __future__ import annotations

from typing import Any

from mmengine.runner import IterBasedTrainLoop
from mmseg.registry import LOOPS
from torch import nn

from ttr_backbones.engine.sampler import ResumableInfiniteSampler
from ttr_backbones.errors import InputError


@LOOPS.register_module()
class ResumableTrainLoop(IterBasedTrainLoop):
    """mmengine's loop by iterations; on resume it moves the sampler instead of replaying batches.

    A validation that was due at the resumed iteration runs again, since the checkpoint was written
    before it and nobody knows whether it finished.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sampler = self.dataloader.sampler
        if not isinstance(sampler, ResumableInfiniteSampler):
            raise InputError(
                "ResumableTrainLoop needs train_dataloader.sampler="
                f"dict(type='ResumableInfiniteSampler'), got {type(sampler).__name__}. Set that "
                "sampler, or train_cfg.type='IterBasedTrainLoop', which replays all past batches "
                "on resume."
            )
        self.sampler = sampler

    def run(self) -> nn.Module:
        """Train from the current iteration to the last and return the model."""
        resumed = self._iter > 0
        if resumed:
            self._position()
        # A checkpoint carries the seed along: a run whose config names none has drawn its own.
        self.runner.message_hub.update_info("sampler_seed", self.sampler.seed)
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if resumed:
            self._validate_if_due()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._validate_if_due()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _position(self) -> None:
        self.sampler.start = self._iter * self.dataloader.batch_size
        self.sampler.seed = self.runner.message_hub.get_info("sampler_seed", self.sampler.seed)
        # The iterator made at construction has already asked for the run's first samples.
        self.dataloader_iterator = iter(self.dataloader)

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is not None and self._iter >= self.val_begin and due:
            self.runner.val_loop.run()
