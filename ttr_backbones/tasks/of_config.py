"""The task of a config, from its evaluators and the type of its model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmseg.registry import METRICS, MODELS

from ttr_backbones.errors import InputError
from ttr_backbones.tasks.metric import Metric
from ttr_backbones.tasks.task import TASKS, Task


def find_task(cfg: Mapping[str, Any]) -> Task[Any] | None:
    """Return the task of a config, or None.

    Of the tasks that its evaluators score, it is the one whose model is nearest to the config's
    among the classes that this inherits from; without such an evaluator, of all tasks.
    """
    scored = _scored_tasks(cfg)
    near = (
        task
        for name in _class_names(cfg.get("model") or {})
        for task in TASKS.values()
        if name in task.models and (task in scored or not scored)
    )
    return next(near, scored[0] if scored else None)


def task_of(cfg: Mapping[str, Any]) -> Task[Any]:
    """Return the task of a config.

    Raises:
        InputError: it is of no task that was registered.
    """
    task = find_task(cfg)
    if task is None:
        listed = "; ".join(
            f"{t.name}: {', '.join((*t.models, *t.evaluators))}" for t in TASKS.values()
        )
        model = next(_class_names(cfg.get("model") or {}), "") or "none"
        raise InputError(
            f"{_name(cfg)}: neither its model ({model}) nor its test_evaluator "
            f"({_metric_names(cfg)}) is of a known task. Tasks and their types: {listed}. Another "
            "task has to be registered with ttr_backbones.tasks.register_task by a module in "
            "custom_imports."
        )
    return task


def metric_of(cfg: Mapping[str, Any]) -> Metric:
    """Return the number that the results of a config are compared by.

    Raises:
        InputError: none of its evaluators gives such a number.
    """
    task = find_task(cfg)
    if task is None or task not in _scored_tasks(cfg):
        raise InputError(
            f"{_name(cfg)}: results are compared by one of the evaluators "
            f"{', '.join(evaluator_names())}; test_evaluator of this config has "
            f"{_metric_names(cfg)}"
        )
    return task.metric


def needs_checkpoint(cfg: Mapping[str, Any]) -> bool:
    """Whether the model of a config has a part that is trained, beside its backbone."""
    task = find_task(cfg)
    return "decode_head" in (cfg.get("model") or {}) if task is None else task.trains


def evaluators(section: Any) -> Iterator[Any]:
    """Configs of the metrics in a `val_evaluator` or `test_evaluator`, of whatever form it is."""
    for metric in section if isinstance(section, list | tuple) else [section]:
        if isinstance(metric, dict):
            yield metric
            yield from evaluators(metric.get("metrics"))


def is_scored_by(task: Task[Any], evaluator: Mapping[str, Any]) -> bool:
    """Whether a metric's config is of a type that scores `task`."""
    return metric_name(evaluator) in task.evaluators


def evaluator_names(*, saving: bool = False) -> list[str]:
    """Types of the metrics that score some task; with `saving` those that can save its answers."""
    tasks = [t for t in TASKS.values() if t.output_argument is not None or not saving]
    return list(dict.fromkeys(name for task in tasks for name in task.evaluators))


def output_scale(cfg: Mapping[str, Any]) -> float | None:
    """Return the `output_scale` of the first evaluator that has one: values per unit in files."""
    scales = (
        e["output_scale"] for e in evaluators(cfg.get("test_evaluator")) if "output_scale" in e
    )
    scale = next(scales, None)
    return None if scale is None else float(scale)


def metric_name(evaluator: Mapping[str, Any]) -> str:
    """Return the name under which the type of a metric's config is registered.

    The class itself, or where it lies, may stand in its place, and its name may be another: mmseg
    has a DepthMetric, and so has this package.
    """
    kind = evaluator.get("type", "")
    if isinstance(kind, str) and kind.count(".") < 2:  # a name, maybe behind a scope
        return kind.rpartition(".")[2]
    found = METRICS.get(kind) if isinstance(kind, str) else kind
    registered = (name for name, other in METRICS.module_dict.items() if other is found)
    return next(registered, getattr(found, "__name__", str(kind)))


def _scored_tasks(cfg: Mapping[str, Any]) -> list[Task[Any]]:
    """Tasks that the evaluators of a test score, in the order of the evaluators."""
    return [
        task
        for evaluator in evaluators(cfg.get("test_evaluator"))
        for task in TASKS.values()
        if is_scored_by(task, evaluator)
    ]


def _class_names(model: Mapping[str, Any]) -> Iterator[str]:
    """Name of a model's class, and of those it inherits from, nearest first."""
    kind = model.get("type", "")
    if isinstance(kind, str) and kind:
        yield kind.rpartition(".")[2]
        kind = MODELS.get(kind)
    if inspect.isclass(kind):
        yield from (base.__name__ for base in inspect.getmro(kind))


def _metric_names(cfg: Mapping[str, Any]) -> str:
    return ", ".join(map(metric_name, evaluators(cfg.get("test_evaluator")))) or "none"


def _name(cfg: Any) -> str:
    return str(getattr(cfg, "filename", None) or "the config")
