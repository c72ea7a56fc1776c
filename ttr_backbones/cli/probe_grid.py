"""From a config and a grid of probes to a config that trains them all, and to one for each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process

from ttr_backbones.app.config import type_name
from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError
from ttr_backbones.probes.grid import Probe
from ttr_backbones.probes.hook import FOLDER
from ttr_backbones.tasks import TASKS, metric_of, task_of


def grid_config(cfg: Config, probes: Sequence[Probe]) -> Config:
    """Return the config that trains all probes on one pass of the backbone per batch.

    Raises:
        InputError: a config whose heads cannot share a backbone.
    """
    _require_sharable(cfg)
    alone = [probe_config(cfg, probe) for probe in probes]
    backbones = [single.model.backbone for single in alone]
    names = [probe.name for probe in probes]
    grid = copy.deepcopy(cfg)
    grid.model.type = _probe_models()[type_name(cfg.model)]
    grid.model.backbone.out_indices = tuple(
        {b: 0 for single in backbones for b in single.out_indices}
    )
    grid.model.decode_head = {
        "type": "ProbeHeads",
        "heads": [single.model.decode_head for single in alone],
        "taps": [
            [(b, single.get("final_norm", True)) for b in single.out_indices]
            for single in backbones
        ],
        "names": names,
    }
    grid.optim_wrapper.type = "ProbeOptimWrapper"
    grid.optim_wrapper.constructor = "ProbeOptimWrapperConstructor"
    grid.optim_wrapper.lrs = [single.optim_wrapper.optimizer.lr for single in alone]
    key, higher_is_better = _ranked_by(cfg)
    if cfg.get("val_evaluator") is not None:
        grid.val_evaluator = {
            "type": "ProbeEvaluator",
            "metrics": cfg.val_evaluator,
            "names": names,
            "task": task_of(cfg).name,
            "key": key,
        }
    for option in ("save_best", "rule"):  # KeepProbes keeps the best of every head
        grid.default_hooks.checkpoint.pop(option, None)
    keep = {"type": "KeepProbes", "names": names, "key": key, "higher_is_better": higher_is_better}
    hooks = [hook for hook in grid.get("custom_hooks") or [] if type_name(hook) != "StopOnNaN"]
    grid.custom_hooks = [*hooks, keep]
    return grid


def probe_config(cfg: Config, probe: Probe) -> Config:
    """Return the config that trains this head alone: the same weights, at the price of a run."""
    alone = copy.deepcopy(cfg)
    backbone, head = alone.model.backbone, alone.model.decode_head
    blocks = _blocks(cfg) if probe.blocks is None else probe.blocks
    backbone.out_indices = tuple(blocks)
    head.in_index = list(range(len(blocks)))
    if head.in_channels is not None:  # which leaves them to the backbone
        channels = head.in_channels if isinstance(head.in_channels, int) else head.in_channels[0]
        head.in_channels = [channels] * len(blocks)
    if probe.norm is not None:
        backbone.final_norm = probe.norm
    if probe.mean_patch is not None:
        if "mean_patch" not in head:
            raise InputError(
                "--probe-grid patch=... is for classifiers of whole images, and the config's head "
                f"is a {type_name(head)}: leave that axis out"
            )
        head.mean_patch = probe.mean_patch
    if probe.lr is not None:
        alone.optim_wrapper.optimizer.lr = probe.lr
    if probe.seed is not None:
        head.init_seed = probe.seed
    alone.work_dir = str(Path(cfg.work_dir) / FOLDER / probe.name)
    return alone


def write_probe_configs(cfg: Config, probes: Sequence[Probe]) -> None:
    """Write every head's own config beside where its checkpoints will lie."""
    if is_main_process():
        for probe in probes:
            alone = probe_config(cfg, probe)
            write_atomically(Path(alone.work_dir) / "config.py", alone.pretty_text.encode())


def _probe_models() -> dict[str, str]:
    """Type of a model -> type of the one that trains many heads in its place."""
    return {
        model: probe_model for task in TASKS.values() for model, probe_model in task.probes.items()
    }


def _blocks(cfg: Config) -> list[int]:
    """Blocks whose maps the config's head takes."""
    out_indices, head = list(cfg.model.backbone.get("out_indices", (-1,))), cfg.model.decode_head
    channels, chosen = head.in_channels, head.get("in_index")
    if channels is None and chosen is None:
        return out_indices
    number = 1 if channels is None or isinstance(channels, int) else len(channels)
    chosen = range(-number, 0) if chosen is None else chosen
    return [out_indices[index] for index in ([chosen] if isinstance(chosen, int) else chosen)]


def _ranked_by(cfg: Config) -> tuple[str, bool]:
    """Return the metric that ranks the heads, and whether higher is better."""
    checkpoint = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    key, rule = checkpoint.get("save_best"), checkpoint.get("rule")
    if isinstance(key, str) and rule is not None:
        return key.rpartition("/")[2], rule == "greater"
    metric = metric_of(cfg)
    return metric.key, metric.higher_is_better


def _require_sharable(cfg: Config) -> None:
    model, optimizer = cfg.model, cfg.get("optim_wrapper") or {}
    backbone = model.get("backbone") or {}
    settings: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "model.type": (type_name(model), tuple(_probe_models())),
        "model.backbone.type": (type_name(backbone), ("TimmViT",)),
        "model.backbone.frozen": (backbone.get("frozen", True), (True,)),
        "model.backbone.facet": (backbone.get("facet", "token"), ("token",)),
        "model.auxiliary_head": (model.get("auxiliary_head"), (None,)),
        "optim_wrapper.type": (type_name(optimizer) or "OptimWrapper", ("OptimWrapper",)),
        "optim_wrapper.paramwise_cfg": (optimizer.get("paramwise_cfg"), (None,)),
    }
    for key, (value, possible) in settings.items():
        if value not in possible:
            raise InputError(
                f"--probe-grid trains heads of one kind on one frozen backbone, and the config has "
                f"{key}={value!r}: expected {' or '.join(map(repr, possible))}"
            )
