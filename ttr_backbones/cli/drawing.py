"""`--show` and `--show-dir`: a test whose predictions are drawn, whatever the config has of it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from mmengine.config import Config

from ttr_backbones.app.config import section, type_name
from ttr_backbones.errors import InputError
from ttr_backbones.tasks import TASKS, find_task

_WAIT = 2.0  # seconds
_OF_NO_TASK = "SegLocalVisualizer"  # mmseg's own
_LOCAL = {"LocalVisBackend", "SafeVisBackend"}


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Have a test draw every prediction, into a window (`--show`) or files (`--show-dir`).

    What that needs is put into a config without it: mmseg's hook, a visualizer for the kind of
    model, a backend that writes files.

    Raises:
        InputError: there is no screen, several processes draw, or the options exclude one another.
    """
    if args.wait_time is not None and not args.show:
        raise InputError("--wait-time is how long --show shows a prediction: add --show.")
    if not (args.show or args.show_dir):
        return
    _check(args)
    # Its own hook may have other options, or stand in custom_hooks.
    for hook in _visualization_hooks(cfg):
        hook["draw"] = True
        hook.setdefault("interval", 1)  # mmseg would draw every 50th image only
        if args.show:
            hook.update(show=True, wait_time=_WAIT if args.wait_time is None else args.wait_time)
    visualizer = section(cfg, "visualizer", {"type": "Visualizer"})
    task, kind = find_task(cfg), type_name(visualizer)
    if kind == "Visualizer":  # mmengine's own draws no predictions
        visualizer["type"] = _OF_NO_TASK if task is None else task.visualizer
    elif task is not None and kind in {other.visualizer for other in TASKS.values()}:
        visualizer["type"] = task.visualizer  # another task's draws nothing of this one
    if args.show_dir:
        visualizer["save_dir"] = args.show_dir
        backends = list(visualizer.get("vis_backends") or [])
        if not any(type_name(backend) in _LOCAL for backend in backends):
            visualizer["vis_backends"] = [*backends, {"type": "SafeVisBackend"}]


def _check(args: argparse.Namespace) -> None:
    if args.launcher != "none":
        raise InputError(
            "--show and --show-dir draw in one process, and the others' images would be missing: "
            "leave --launcher out."
        )
    if args.show and args.show_dir:
        raise InputError(
            "--show opens windows, and mmseg saves nothing then: leave out --show or --show-dir."
        )
    if (
        args.show
        and sys.platform == "linux"
        and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    ):
        raise InputError("--show needs a screen, and this machine has none; use --show-dir DIR.")


def _visualization_hooks(cfg: Config) -> list[Any]:
    """Return the config's hooks that draw predictions, after adding one if there is none."""
    import ttr_backbones.evaluation  # noqa: F401 -- registers the hook

    hooks = section(cfg, "default_hooks")
    found = [hook for hook in [*hooks.values(), *(cfg.get("custom_hooks") or [])] if hook]
    drawing = [hook for hook in found if type_name(hook).endswith("VisualizationHook")]
    if not drawing:
        hooks["visualization"] = {"type": "SegVisualizationHook"}
        drawing = [hooks["visualization"]]
    for hook in drawing:
        if type_name(hook) == "SegVisualizationHook":  # it would draw images of one name as one
            hook["type"] = "NamedVisualizationHook"
    return drawing
