"""`ProbeEvaluator`: a config's metrics once for every head."""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmseg.registry import EVALUATOR

from ttr_backbones.evaluation.watched_results import watch_results
from ttr_backbones.probes.held_out import HeldOutChoice
from ttr_backbones.probes.models import FIELD
from ttr_backbones.tasks import task_named


@EVALUATOR.register_module()
class ProbeEvaluator:
    """Evaluates the predictions of every head; metrics are named `<head>/<metric>`.

    Args:
        metrics: config of one metric or of several, as for mmengine's Evaluator.
        names: of the heads.
        task: name of the task that the metrics score.
        key: the metric that ranks the heads.

    Attributes:
        choice: of a head by the images that the last evaluation has seen. The main process alone
            has them.
    """

    def __init__(self, metrics: Any, names: Sequence[str], *, task: str, key: str) -> None:
        self.evaluators = {name: Evaluator(copy.deepcopy(metrics)) for name in names}
        self.choice = HeldOutChoice(task_named(task), key)
        for name, evaluator in self.evaluators.items():
            take = functools.partial(self.choice.add, name)
            watch_results(evaluator.metrics, task_named(task).evaluators, take)

    @property
    def dataset_meta(self) -> Any:
        """Meta information of the data set."""
        return next(iter(self.evaluators.values())).dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: Any) -> None:
        for evaluator in self.evaluators.values():
            evaluator.dataset_meta = meta

    def process(self, data_samples: Sequence[Any], data_batch: Any = None) -> None:
        """Take a batch, as a model with many heads predicts it."""
        for index, evaluator in enumerate(self.evaluators.values()):
            predictions = [getattr(sample, FIELD)[index] for sample in data_samples]
            evaluator.process(predictions, data_batch)

    def evaluate(self, size: int) -> dict[str, Any]:
        """Return all metrics of all heads; `size` is the number of images."""
        logger = MMLogger.get_current_instance()
        results: dict[str, Any] = {}
        level = logger.level
        logger.setLevel(logging.WARNING)  # mmseg prints a table of all classes each time
        try:
            for name, evaluator in self.evaluators.items():
                results |= {
                    f"{name}/{key}": value for key, value in evaluator.evaluate(size).items()
                }
        finally:
            logger.setLevel(level)
        return results
