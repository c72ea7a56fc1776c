"""From a complete config to a running mmengine Runner, with errors that a user understands."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import ttr_backbones.app.registration  # noqa: F401
from ttr_backbones.app.config import section, type_name
from ttr_backbones.app.config_errors import clear_config_errors
from ttr_backbones.app.loaders import copy_without_waiting, pin_loaders
from ttr_backbones.app.messages import note
from ttr_backbones.app.run_numbers import check_run_numbers
from ttr_backbones.atomic import check_writable
from ttr_backbones.engine import SafeRunner, stop_on_log_errors
from ttr_backbones.errors import InputError
from ttr_backbones.tasks import TASKS
from ttr_backbones.tasks.of_config import evaluators, metric_name

# What every run has: it survives being stopped, and says what is odd about its images.
_HOOKS = ("SafeCheckpoint", "SaveOnSignal", "CheckNormalization", "CheckInputSize", "CheckLeftOut")
# Backend of mmengine's logs -> the package that it needs.
_BACKENDS = {
    "WandbVisBackend": "wandb",
    "TensorboardVisBackend": "tensorboard",
    "MLflowVisBackend": "mlflow",
    "ClearMLVisBackend": "clearml",
    "NeptuneVisBackend": "neptune",
    "DVCLiveVisBackend": "dvclive",
    "AimVisBackend": "aim",
}
_run_numbers = itertools.count(1)


def build_runner(cfg: Config) -> Runner:
    """Build the Runner of `cfg`, with checkpoints as this project writes them."""
    check_writable(cfg.work_dir)
    _check_backends(cfg)
    check_run_numbers(cfg)
    _use_own_hooks(cfg)
    _prepare_for_processes(cfg)
    _name_apart(cfg)
    pin_loaders(cfg)
    # mmengine logs and stores the text of a config up to four times, and has yapf lay it out anew
    # every time, which takes longer than a small test. Its text without that is as readable.
    object.__setattr__(cfg, "_format_python_code", False)
    with clear_config_errors():
        runner = RUNNERS.build(cfg) if "runner_type" in cfg else SafeRunner.from_cfg(cfg)
    copy_without_waiting(runner.model)
    stop_on_log_errors(runner.logger)
    return runner


def close_log_files(runner: Runner) -> None:
    """Close the log files of a Runner that is done, in a process that goes on.

    mmengine keeps every logger, and writes what it says of the next model into all of them.
    """
    for handler in list(runner.logger.handlers):
        handler.close()
        if isinstance(handler, logging.FileHandler):
            runner.logger.removeHandler(handler)


def _use_own_hooks(cfg: Config) -> None:
    """Put this project's hooks and files into a config that has mmengine's."""
    hooks = section(cfg, "default_hooks")
    if "checkpoint" not in hooks:  # None there turns it off
        hooks["checkpoint"] = {"type": "CheckpointHook"}
    checkpoint = hooks["checkpoint"]
    if checkpoint and type_name(checkpoint) == "CheckpointHook":
        checkpoint["type"] = "HeadCheckpointHook"
        note("checkpoints are written by HeadCheckpointHook in place of CheckpointHook.")
    custom = list(cfg.get("custom_hooks") or [])
    present = {type_name(hook) for hook in custom}
    absent = [name for name in _HOOKS if name not in present]
    if absent:
        note(f"added to custom_hooks: {', '.join(absent)}.")
    cfg.custom_hooks = custom + [{"type": name} for name in absent]
    logs = {"type": "Visualizer", "vis_backends": [{"type": "LocalVisBackend"}]}  # mmengine's own
    for backend in section(cfg, "visualizer", logs).get("vis_backends") or []:
        if type_name(backend) == "LocalVisBackend":
            backend["type"] = "SafeVisBackend"
            note("logs are written by SafeVisBackend in place of LocalVisBackend.")


def _check_backends(cfg: Config) -> None:
    """Say now in one line that a package is missing that the logs are to go to."""
    for backend in (cfg.get("visualizer") or {}).get("vis_backends") or []:
        package = _BACKENDS.get(type_name(backend))
        if package is not None and not _is_installed(package):
            raise InputError(
                f"{type_name(backend)} needs {package}, which is not installed: pip install "
                f"{package}, or leave it out of visualizer.vis_backends."
            )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # blocked, or a half-made module
        return False


def _prepare_for_processes(cfg: Config) -> None:
    """Settings of a distributed run, where the config has none of its own.

    The model gets this project's wrapper. Metrics exchange their results as messages: mmengine
    would write files into the current folder, which has to be writable and the same everywhere.
    """
    if cfg.get("launcher", "none") == "none":
        return
    if not cfg.get("model_wrapper_cfg"):
        cfg.model_wrapper_cfg = {
            "type": "HeadDistributedDataParallel",
            "broadcast_buffers": False,
            "find_unused_parameters": cfg.get("find_unused_parameters", False),
        }
    small = {name for task in TASKS.values() if task.small_results for name in task.evaluators}
    for metric in [*evaluators(cfg.get("val_evaluator")), *evaluators(cfg.get("test_evaluator"))]:
        if metric_name(metric) in small:
            metric.setdefault("collect_device", "gpu")  # gloo's messages stay on the CPU


def _name_apart(cfg: Config) -> None:
    """Give each Runner of this process its own visualizer and message hub.

    mmengine keeps both as singletons by name: a second Runner would log into the first one's
    folder and go on with its numbers.
    """
    number = next(_run_numbers)
    visualizer = cfg.get("visualizer")
    if isinstance(visualizer, dict):
        visualizer["name"] = f"{visualizer.get('name', 'visualizer')}_{os.getpid()}_{number}"
    if number > 1:
        name = cfg.get("experiment_name") or Path(cfg.filename or "run").stem
        cfg.experiment_name = f"{name}_{number}"


def use_amp(cfg: Config) -> None:
    """Turn on mixed precision, as mmseg's `--amp` does."""
    if get_device() in {"cpu", "mps"}:
        raise InputError(
            f"--amp needs a GPU, and this process runs on {get_device()}. Leave --amp out, or run "
            "where torch.cuda.is_available() is True (`ttrb doctor` shows what torch sees)."
        )
    kind = type_name(cfg.optim_wrapper)
    if kind not in {"", "OptimWrapper", "AmpOptimWrapper"}:
        raise InputError(
            f"--amp works with optim_wrapper.type='OptimWrapper', the config has {kind!r}. Leave "
            "--amp out and set mixed precision in the config."
        )
    cfg.optim_wrapper.type = "AmpOptimWrapper"
    cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
