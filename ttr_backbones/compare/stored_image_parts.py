"""What a cell keeps of every image of its test, in a file beside its result."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.hooks import Hook
from numpy.typing import NDArray

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError
from ttr_backbones.evaluation.named_results import image_files
from ttr_backbones.evaluation.watched_results import watch_results
from ttr_backbones.tasks import Task

FILE = "images.npz"


class StoredImageParts(NamedTuple):
    """The parts of a metric, see `evaluation.image_parts`.

    Attributes:
        names: of the images, N, below the folder that holds all of them.
        parts: of each, [N, P].
        layout: what the parts are, see `ImageParts`.
    """

    names: list[str]
    parts: NDArray[np.float64]
    layout: str


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
        kind = task.image_parts

        def keep(results: list[Any]) -> None:
            if len(results) == len(names):
                parts = kind.of_results(results)
                self.found = StoredImageParts(_below_all(names), parts, kind.layout)

        watch_results(runner.test_loop.evaluator.metrics, task.evaluators, keep)


def _below_all(files: Sequence[str]) -> list[str]:
    """Take the folder off that all files lie in: the same images elsewhere are the same images."""
    folder = os.path.commonpath([Path(file).parent for file in files])
    return [os.path.relpath(file, folder) for file in files]


def check_parts(found: StoredImageParts, task: Task[Any], value: float) -> str | None:
    """Return why the parts do not belong to a metric's value; None if they do."""
    assert task.image_parts is not None
    return task.image_parts.mismatch(found.parts, value, percent=task.metric.unit == "%")


def write_parts(folder: Path, found: StoredImageParts) -> None:
    """Write them atomically."""
    content = io.BytesIO()
    names, layout = (np.array(text, dtype=np.str_) for text in (found.names, found.layout))
    np.savez_compressed(content, names=names, parts=found.parts, layout=layout)
    write_atomically(folder / FILE, content.getvalue())


def read_parts(folder: Path, task: Task[Any]) -> StoredImageParts | None:
    """Read what a cell kept of single images; None if it kept nothing.

    Raises:
        InputError: the file cannot be read, or has other parts than the task's metric is made of.
    """
    path, kind = folder / FILE, task.image_parts
    if kind is None or not path.is_file():
        return None
    anew = f"delete the folder {folder} to run the cell anew"
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {key: stored[key] for key in stored.files}
        names, parts = found["names"].tolist(), found["parts"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} holds no {task.metric.name} of single images ({error!r}): {anew}"
        ) from error
    layout = str(found.get("layout", "not said, as in files of earlier versions"))
    if layout != kind.layout:
        raise InputError(
            f"{path} was written by another version: expected for {task.metric.name} "
            f"({kind.layout}) of every image, it has ({layout}): {anew}"
        )
    return StoredImageParts(names, parts, layout)
