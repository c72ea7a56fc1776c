"""Train a head on a frozen backbone, or fine-tune."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.cli.arguments import add_common_arguments, add_feature_cache
from ttr_backbones.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add mmseg's options of tools/train.py, and this package's own."""
    parser.add_argument("config", help="config file, or the name of a packaged config")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from a checkpoint or run folder; without a value, from the newest in the work "
        "dir, or from the start if there is none",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (GPU)")
    parser.add_argument("--seed", type=int, help="random seed (default: the config's)")
    parser.add_argument(
        "--probe-grid",
        nargs="*",
        metavar="AXIS=V,...",
        help="train a head for every combination of values on one pass of the backbone: lr=1e-3,"
        "1e-2 block=-1,2+5+8+11 norm=on,off patch=on,off seed=0,1; without values the grid that "
        "the protocol was published with",
    )
    add_feature_cache(parser)
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train."""
    from ttr_backbones.app.config import load_config, section
    from ttr_backbones.app.data_folders import check_folders
    from ttr_backbones.app.feature_cache import use_feature_cache

    cfg = load_config(args)
    _check_trains(cfg)
    use_feature_cache(cfg, args.feature_cache)
    if args.seed is not None:
        section(cfg, "randomness")["seed"] = args.seed
    check_folders(cfg, "train_dataloader", "val_dataloader")

    from ttr_backbones.app import runner as runs
    from ttr_backbones.app.config_errors import clear_config_errors
    from ttr_backbones.app.launcher import check_resume, join_processes
    from ttr_backbones.engine import advise_resume, stop_signals

    join_processes(args, cfg)
    if args.amp:
        runs.use_amp(cfg)
    if args.probe_grid is not None:
        cfg = _with_probes(cfg, args)
    set_resume(cfg, args.resume)
    check_resume(cfg)
    with stop_signals():
        runner = runs.build_runner(cfg)
        with clear_config_errors(), advise_resume(runner):
            runner.train()
    return 0


def _check_trains(cfg: Config) -> None:
    from ttr_backbones.app.config import type_name
    from ttr_backbones.tasks import find_task

    task = find_task(cfg)
    if task is not None and not task.trains and not cfg.get("train_dataloader"):
        raise InputError(
            f"{type_name(cfg.model)} ({task.name}) has nothing to train: `ttrb test CONFIG` "
            "evaluates it as it is."
        )


def _with_probes(cfg: Config, args: argparse.Namespace) -> Config:
    from ttr_backbones.cli.probe_grid import grid_config, write_probe_configs
    from ttr_backbones.probes.grid import parse_grid

    axes = args.probe_grid or cfg.get("probe_grid")
    if not axes:
        raise InputError(
            "--probe-grid without values takes the grid of the protocol, and this config has no "
            "probe_grid: give axes, as lr=1e-3,1e-2"
        )
    probes = parse_grid(axes)
    if args.amp:
        raise InputError(
            "--probe-grid keeps its heads in float32, and on a GPU its backbone computes in "
            "bfloat16 as it is: leave --amp out"
        )
    if args.work_dir is None:
        cfg.work_dir += "_probes"
    grid = grid_config(cfg, probes)
    write_probe_configs(cfg, probes)
    return grid


def set_resume(cfg: Config, resume: str | None) -> None:
    """Point `cfg` at the checkpoint to resume from.

    Args:
        cfg: The config; its own `resume=True` counts as "auto".
        resume: "auto", a checkpoint file, the folder of a run, or None.
    """
    from ttr_backbones.app.messages import note
    from ttr_backbones.engine import latest_checkpoint

    if resume is None and cfg.get("resume") and not cfg.get("load_from"):
        resume = "auto"
    if resume is None:
        return
    source = Path(cfg.work_dir if resume == "auto" else resume).expanduser()
    checkpoint = source if source.is_file() else latest_checkpoint(source)
    if checkpoint is None and resume != "auto":
        what = "the folder holds no complete checkpoint" if source.is_dir() else "it does not exist"
        raise MissingFileError(
            f"--resume {resume}: expected a checkpoint file or a folder with one, but {what}. "
            "Give an iter_*.pth, or leave --resume out to start anew."
        )
    cfg.resume = checkpoint is not None
    if checkpoint is None:
        note(f"no checkpoint to resume in {source}; starting at iteration 0")
    else:
        cfg.load_from = str(checkpoint)
        note(f"resuming from {checkpoint}")
