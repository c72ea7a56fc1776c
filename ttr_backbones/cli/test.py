"""Evaluate a checkpoint, one of ours or a released DINOv2 head."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.cli.arguments import add_common_arguments
from ttr_backbones.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add mmseg's options of tools/test.py and `--data-root`."""
    parser.add_argument("config", help="config file, or the name of a packaged config")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", metavar="DIR", help="save the predicted masks as PNG")
    parser.add_argument("--show", action="store_true", help="show the predictions in a window")
    parser.add_argument("--show-dir", metavar="DIR", help="save pictures of the predictions")
    parser.add_argument("--wait-time", type=float, default=2, help="seconds to show a prediction")
    parser.add_argument("--tta", action="store_true", help="average over scales and flips")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate."""
    from ttr_backbones.cli.config import load_config
    from ttr_backbones.cli.data_check import check_folders

    cfg = load_config(args)
    if "://" not in args.checkpoint and not Path(args.checkpoint).expanduser().is_file():
        raise MissingFileError(
            f"the checkpoint {args.checkpoint} does not exist or is no file; give an iter_*.pth of "
            "`ttrb train` or a released head."
        )
    check_folders(cfg, "test_dataloader")

    from ttr_backbones.cli import run as runs

    runs.prepare_launcher(args)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.show or args.show_dir:
        _draw_predictions(cfg, args)
    if args.tta:
        use_tta(cfg)
    if args.out:
        _save_predictions(cfg, args.out)
    runner = runs.build_runner(cfg)
    with runs.clear_config_errors():
        runner.test()
    return 0


def use_tta(cfg: Config) -> None:
    """Test on several scales and flips, with the config's `tta_model` and `tta_pipeline`."""
    absent = [key for key in ("tta_model", "tta_pipeline") if key not in cfg]
    if absent:
        raise InputError(
            f"--tta needs {' and '.join(absent)}, which the config does not have. Take a config "
            "with them, for example a packaged _ms config, or leave --tta out."
        )
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model


def _draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    if (
        args.show
        and sys.platform == "linux"
        and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    ):
        raise InputError("--show needs a screen, and this machine has none; use --show-dir DIR.")
    hook = cfg.default_hooks.setdefault("visualization", {"type": "SegVisualizationHook"})
    hook["draw"] = True
    hook.setdefault("interval", 1)  # mmseg would draw every 50th image only
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        cfg.visualizer["save_dir"] = args.show_dir


def _save_predictions(cfg: Config, folder: str) -> None:
    from ttr_backbones.cli.config import type_name

    evaluators = cfg.test_evaluator
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        if type_name(evaluator) == "IoUMetric":
            evaluator["output_dir"] = folder
            return
    raise InputError("--out works with the metric IoUMetric, which test_evaluator does not have.")
