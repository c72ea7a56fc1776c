"""Evaluate a checkpoint, one of ours or a released DINOv2 head; or a model without training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.cli.arguments import add_common_arguments, add_feature_cache
from ttr_backbones.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add mmseg's options of tools/test.py and `--data-root`."""
    parser.add_argument("config", help="config file, or the name of a packaged config")
    parser.add_argument("checkpoint", nargs="?", help="checkpoint file; object discovery has none")
    parser.add_argument(
        "--out", metavar="PATH", help="save masks or depth maps as PNG in a folder, boxes as JSON"
    )
    parser.add_argument("--show", action="store_true", help="show the predictions in a window")
    parser.add_argument("--show-dir", metavar="DIR", help="save pictures of the predictions")
    parser.add_argument(
        "--wait-time", type=float, metavar="S", help="with --show: seconds per prediction (2)"
    )
    parser.add_argument("--tta", action="store_true", help="average over scales and flips")
    add_feature_cache(parser)
    add_common_arguments(parser)
    # Python before 3.12.7 refuses an optional argument behind an option: CONFIG --tta CHECKPOINT.
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    from ttr_backbones.app.config import load_config
    from ttr_backbones.app.data_folders import check_folders
    from ttr_backbones.app.feature_cache import use_feature_cache
    from ttr_backbones.app.testing import only_test, use_tta
    from ttr_backbones.cli.drawing import draw_predictions

    cfg = load_config(args)
    use_feature_cache(cfg, args.feature_cache)
    _check_checkpoint(cfg, args.checkpoint)
    check_folders(cfg, "test_dataloader", "test_cfg.bank")

    from ttr_backbones.app import runner as runs
    from ttr_backbones.app.config_errors import clear_config_errors
    from ttr_backbones.app.launcher import join_processes

    join_processes(args, cfg)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    only_test(cfg)
    draw_predictions(cfg, args)
    if args.tta:
        use_tta(cfg)
    if args.out:
        _save_predictions(cfg, args.out)
    runner = runs.build_runner(cfg)
    with clear_config_errors():
        runner.test()
    return 0


def _check_checkpoint(cfg: Config, checkpoint: str | None) -> None:
    from ttr_backbones.app.config import type_name
    from ttr_backbones.tasks import find_task

    task = find_task(cfg)
    if task is not None and not task.trains:
        if checkpoint is not None:
            raise InputError(
                f"{type_name(cfg.model)} has nothing to train, so {checkpoint} cannot be loaded "
                "into it: leave it out. Weights of the backbone go to --cfg-options "
                "model.backbone.checkpoint=FILE model.backbone.pretrained=False."
            )
    elif checkpoint is None:
        raise InputError(
            "the checkpoint is missing: ttrb test CONFIG CHECKPOINT, with an iter_*.pth of `ttrb "
            "train` or a released head."
        )
    elif "://" not in checkpoint and not Path(checkpoint).expanduser().is_file():
        raise MissingFileError(
            f"the checkpoint {checkpoint} does not exist or is no file; give an iter_*.pth of "
            "`ttrb train` or a released head."
        )


def _save_predictions(cfg: Config, path: str) -> None:
    from ttr_backbones.tasks import find_task
    from ttr_backbones.tasks.of_config import evaluator_names, evaluators, is_scored_by

    task = find_task(cfg)
    if task is not None and task.output_argument is not None:
        for evaluator in evaluators(cfg.get("test_evaluator")):
            if is_scored_by(task, evaluator):
                task.save_into(evaluator, Path(path).expanduser())
                cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), {"type": "NameResults"}]
                return
    raise InputError(
        f"--out works with the metrics {', '.join(evaluator_names(saving=True))}; test_evaluator "
        "has none of them."
    )
