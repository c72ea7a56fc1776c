"""One run of the demo: train and test through mmengine's Runner, then look at the features."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor

from ttr_backbones.app.config import set_data_root
from ttr_backbones.app.runner import build_runner, close_log_files
from ttr_backbones.demo.tasks import Demonstration
from ttr_backbones.recipes import recipe
from ttr_backbones.registers import token_norms
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.register_tokens import forward_with_registers


@dataclass(frozen=True)
class DemoResult:
    """What one model gives on the M validation images.

    Args:
        score: the number of the task's table.
        norms: norm of every patch token of the last block, before the final LayerNorm, [M, h, w].
        answers: of every image: class of every pixel [M, H, W], metres [M, H, W] or a box [M, 4].
        seconds: wall time of the whole run.
    """

    score: float
    norms: Tensor
    answers: Tensor
    seconds: float


def run_model(
    config: str,
    task: Demonstration,
    *,
    scenes: Path,
    weights: Path,
    work_dir: Path,
    seed: int,
    iterations: int | None = None,
) -> DemoResult:
    """Evaluate the frozen ViT in `weights`, after training a head where the task has one.

    Args:
        config: name of a recipe.
        task: that the config belongs to.
        scenes: folder that `write_scenes` filled.
        weights: the ViT's weight file.
        work_dir: where logs and the head's checkpoint go; mmengine's log is there, not on screen.
        seed: of the head's first weights and of the order of the images.
        iterations: number of training steps instead of the config's.
    """
    start = time.perf_counter()
    runner = _runner(config, scenes, weights, work_dir, seed, iterations)
    try:
        if runner.cfg.get("train_cfg") is None:
            score = task.metric.value(runner.test())
        else:
            runner.train()
            score = float(runner.message_hub.get_scalar(f"val/{task.metric.key}").current())
        norms, answers = _predict(runner, task.task.answer)
    finally:
        close_log_files(runner)
    return DemoResult(score, norms, answers, time.perf_counter() - start)


def _runner(
    config: str, scenes: Path, weights: Path, work_dir: Path, seed: int, iterations: int | None
) -> Runner:
    cfg = recipe(config)
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    cfg.randomness = {"seed": seed}
    cfg.model.backbone.checkpoint = str(weights)
    set_data_root(cfg, str(scenes))
    if iterations is not None and cfg.get("train_cfg") is not None:
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
def _predict(runner: Runner, answer: str) -> tuple[Tensor, Tensor]:
    """Return the patch norms [M, h, w] and the answers [M, ...] of all validation images."""
    model: Any = runner.model.eval()
    norms, answers = [], []
    for batch in runner.test_loop.dataloader:
        # A list where images may differ in size; those of the demo do not.
        inputs = torch.stack(list(model.data_preprocessor(batch, training=False)["inputs"]))
        vit = model.backbone.vit
        facts = family_of(vit).facts(vit)
        _, (last,) = forward_with_registers(vit, inputs, [-1], intermediates_only=True)
        grid = facts.grid_of((inputs.shape[2], inputs.shape[3]))
        norms.append(token_norms(last.patches).unflatten(1, grid))
        answers += [_answer(sample, answer) for sample in model.test_step(batch)]
    return torch.cat(norms).cpu(), torch.stack(answers)


def _answer(sample: Any, field: str) -> Tensor:
    """Return a box [4] as it is, and a map [1, H, W] in PixelData as [H, W]."""
    found = getattr(sample, field)
    return (found if isinstance(found, Tensor) else found.data[0]).cpu()
