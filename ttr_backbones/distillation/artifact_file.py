"""`SaveArtifact`: what a distillation has trained, as the file of a repair."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.repairs.ph_reg import Distillation
from ttr_backbones.repairs.training_log import TrainingLog

FILE = "ph_reg.safetensors"


@HOOKS.register_module()
class SaveArtifact(Hook):
    """Writes `ph_reg.safetensors` into the work dir with every checkpoint, and at the end.

    Its provenance has the steps, the images seen and the curve of the loss; the seconds are those
    since the run was started or resumed.
    """

    def before_train(self, runner: Any) -> None:
        """Start the clock."""
        del runner
        self._start = time.perf_counter()

    def before_save_checkpoint(self, runner: Any, checkpoint: Any) -> None:
        """Write it."""
        del checkpoint
        self._write(runner)

    def after_train(self, runner: Any) -> None:
        """Write it, and say where."""
        self._write(runner)
        runner.logger.info(
            f"repair=dict(type='ph_reg', artifact='{Path(runner.work_dir) / FILE}') is the student"
        )

    @master_only
    def _write(self, runner: Any) -> None:
        model: Any = unwrapped(runner.model)
        distillation: Distillation = model.distillation
        log = TrainingLog()
        log.start(steps=runner.max_iters, parameters=distillation.num_trained)
        losses, _ = runner.message_hub.get_scalar("train/loss").data
        images = runner.train_dataloader.batch_size * get_world_size()
        for loss in losses:
            log.step(loss, images=images)
        fit = {
            "seconds": round(time.perf_counter() - self._start, 3),
            "num_images": len(runner.train_dataloader.dataset),
            **log.facts,
        }
        distillation.artifact(fit=fit).save(Path(runner.work_dir) / FILE)
