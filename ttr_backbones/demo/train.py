"""One run of the demo: train the head through mmengine's Runner, then look at the features."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor

from ttr_backbones.cli.config import set_data_root
from ttr_backbones.cli.run import build_runner
from ttr_backbones.packaged import configs_dir
from ttr_backbones.registers import token_norms


@dataclass(frozen=True)
class Trained:
    """What one trained head gives on the M validation images.

    Args:
        miou: in percent, from mmseg's IoUMetric.
        norms: norm of every patch token of the last block, before the final LayerNorm, [M, h, w].
        predictions: class of every pixel, int64 [M, H, W].
        seconds: wall time of the whole run.
    """

    miou: float
    norms: Tensor
    predictions: Tensor
    seconds: float


def train_head(
    config: str,
    *,
    scenes: Path,
    weights: Path,
    work_dir: Path,
    seed: int,
    iterations: int | None = None,
) -> Trained:
    """Train and evaluate a linear head on the frozen ViT in `weights`.

    Args:
        config: name of a config in configs/demo.
        scenes: folder that `write_scenes` filled.
        weights: the ViT's weight file.
        work_dir: where logs and the head's checkpoint go; mmengine's log is there, not on screen.
        seed: of the head's first weights and of the order of the images.
        iterations: number of training steps instead of the config's.
    """
    start = time.perf_counter()
    runner = _runner(config, scenes, weights, work_dir, seed, iterations)
    runner.train()
    miou = float(runner.message_hub.get_scalar("val/mIoU").current())
    norms, predictions = _look(runner)
    return Trained(miou, norms, predictions, time.perf_counter() - start)


def _runner(
    config: str, scenes: Path, weights: Path, work_dir: Path, seed: int, iterations: int | None
) -> Runner:
    cfg = Config.fromfile(configs_dir() / "demo" / f"{config}.py")
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    cfg.randomness = {"seed": seed}
    cfg.model.backbone.checkpoint = str(weights)
    set_data_root(cfg, str(scenes))
    if iterations is not None:
        cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    cfg.log_level = "ERROR"  # on screen; the log file below gets everything
    with warnings.catch_warnings():
        # mmseg tells of deprecations inside itself and of defaults that are meant here.
        warnings.simplefilter("ignore", UserWarning)
        runner = build_runner(cfg)
    for handler in runner.logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.INFO)
    return runner


@torch.no_grad()
def _look(runner: Runner) -> tuple[Tensor, Tensor]:
    """Return the patch norms [M, h, w] and the predictions [M, H, W] of all validation images."""
    model: Any = runner.model.eval()
    norms, predictions = [], []
    for batch in runner.val_dataloader:
        inputs = model.data_preprocessor(batch, training=False)["inputs"]
        (last,) = model.backbone.vit.forward_intermediates(
            inputs, indices=1, norm=False, intermediates_only=True
        )  # [B, C, h, w]
        norms.append(token_norms(last.permute(0, 2, 3, 1)))
        samples = model.test_step(batch)
        predictions += [sample.pred_sem_seg.data[0].cpu() for sample in samples]
    return torch.cat(norms).cpu(), torch.stack(predictions)
