"""What a cell keeps of every image of its test, in a file beside its result."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.hooks import Hook
from mmseg.registry import METRICS
from numpy.typing import NDArray

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError
from ttr_backbones.evaluation.named_results import image_files
from ttr_backbones.tasks import Metric, Task

FILE = "images.npz"


class StoredImageParts(NamedTuple):
    """The parts of a metric, see `evaluation.image_parts`.

    Attributes:
        names: of the images, N.
        parts: of each, [N, P].
    """

    names: list[str]
    parts: NDArray[np.float64]


class KeepImageParts(Hook):
    """Takes what the evaluator of a test collects of single images, before it adds that up.

    Args:
        task: whose evaluator it is.

    Attributes:
        found: what was taken; None if the task has no parts or the test was not of one evaluator.
    """

    def __init__(self, task: Task[Any] | None) -> None:
        self._task = task
        self.found: StoredImageParts | None = None

    def before_test(self, runner: Any) -> None:
        """Have the results pass by here on their way to `compute_metrics`."""
        task = self._task
        if task is None or task.image_parts is None:
            return
        names = image_files(runner.test_loop.dataloader.dataset)
        kinds = tuple(filter(None, map(METRICS.get, task.evaluators)))
        scorers = [m for m in runner.test_loop.evaluator.metrics if isinstance(m, kinds)]
        for metric in scorers[:1]:
            self._watch(metric, task, names)

    def _watch(self, metric: Any, task: Task[Any], names: Sequence[str]) -> None:
        compute = metric.compute_metrics

        def keep_and_compute(results: list[Any]) -> Any:
            assert task.image_parts is not None
            if len(results) == len(names):
                self.found = StoredImageParts(list(names), task.image_parts.of_results(results))
            return compute(results)

        metric.compute_metrics = keep_and_compute


def check_parts(found: StoredImageParts, task: Task[Any], value: float) -> str | None:
    """Return why the parts do not belong to a metric's value; None if they do."""
    assert task.image_parts is not None
    again = float(task.image_parts.score(found.parts.sum(axis=0)))
    rounding = max(0.006, 1e-6 * abs(value)) if task.metric.unit == "%" else 1e-6 * abs(value)
    if abs(again - value) <= rounding:
        return None
    return f"single images make {again:g} and the evaluator says {value:g}"


def write_parts(folder: Path, found: StoredImageParts) -> None:
    """Write them atomically."""
    content = io.BytesIO()
    np.savez_compressed(content, names=np.array(found.names, dtype=np.str_), parts=found.parts)
    write_atomically(folder / FILE, content.getvalue())


def read_parts(folder: Path, metric: Metric) -> StoredImageParts | None:
    """Read what a cell kept of single images; None if it kept nothing.

    Raises:
        InputError: the file cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            names, parts = stored["names"].tolist(), stored["parts"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} holds no {metric.name} of single images ({error!r}): delete its folder to "
            "run the cell anew"
        ) from error
    return StoredImageParts(names, parts)
