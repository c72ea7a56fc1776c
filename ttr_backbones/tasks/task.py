"""`Task`: everything that the commands have to know about a task, in one place.

A new task is a subclass of `Task` under `@register_task`, in a module that the config
names in `custom_imports`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.engine.head_kinds import HeadKind, register_head_kinds
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.evaluation.image_parts import ImageParts
from ttr_backbones.tasks.metric import Metric
from ttr_backbones.tasks.prediction import Labels, Prediction

P = TypeVar("P", bound=Prediction)


@dataclass(frozen=True)
class ExportedOutput:
    """What an exported model gives.

    Args:
        name: of the output in the file.
        meaning: of its values, with their shape.
        has_classes: whether there is one channel per class, so that the file has to name them.
    """

    name: str
    meaning: str
    has_classes: bool = False


class Task(ABC, Generic[P]):
    """One task; its attributes are what a table of tasks would have as columns.

    Attributes:
        name: lower case, as in "object discovery".
        models: types of the models, in mmseg's MODELS, that do this task; their subclasses do too.
        evaluators: types of the metrics, in mmseg's METRICS, that score it.
        metric: the number by which results are compared.
        answer: field of a data sample that holds the model's answer.
        logits: field with the scores behind the answer; None if there are none.
        visualizer: type, in mmseg's VISUALIZERS, that draws a data sample.
        trains: whether a checkpoint of a trained part belongs to the model.
        probes: type of a model -> type of the one that trains many heads (`--probe-grid`).
        head_kinds: how the files of its heads differ, which gives advice on one that does not fit.
        exported: what `ttrb export` gives of a model with a head; None exports the backbone's maps.
        output_argument: argument of the evaluators for the place of saved answers, if they save.
        small_results: whether the evaluators keep little of each image, so that the processes of
            a run can exchange it as messages and need no common folder.
        image_parts: how the metric is made of what the evaluators keep of single images, which
            `ttrb benchmark` needs for intervals; None if it is no function of sums over images.
    """

    name: ClassVar[str]
    models: ClassVar[tuple[str, ...]]
    evaluators: ClassVar[tuple[str, ...]]
    metric: ClassVar[Metric]
    answer: ClassVar[str]
    visualizer: ClassVar[str]
    logits: ClassVar[str | None] = None
    trains: ClassVar[bool] = True
    probes: ClassVar[Mapping[str, str]] = {}
    head_kinds: ClassVar[tuple[HeadKind, ...]] = ()
    exported: ClassVar[ExportedOutput | None] = None
    output_argument: ClassVar[str | None] = "output_dir"
    small_results: ClassVar[bool] = True
    image_parts: ClassVar[ImageParts | None] = None

    def image_parts_of(self, key: str) -> ImageParts | None:
        """Return how a metric of the evaluators, by its key, is made; None if that is unknown."""
        return self.image_parts if key == self.metric.key else None

    @abstractmethod
    def prediction(
        self,
        path: Path | None,
        image: NDArray[np.uint8],
        sample: Any,
        labels: Labels,
        *,
        logits: bool = False,
    ) -> P:
        """Make a prediction of the data sample that a model has filled.

        Args:
            path: file of the image; None for an array.
            image: it, RGB [H, W, 3].
            sample: of mmengine, with the field `answer`.
            labels: classes of the model.
            logits: whether to keep the field `logits`.
        """

    def save_into(self, evaluator: dict[str, Any], place: Path) -> None:
        """Have an evaluator of a test save the answers.

        Args:
            evaluator: its config, of a type in `evaluators`, which is changed.
            place: folder or file.
        """
        evaluator[str(self.output_argument)] = str(place)


TASKS: dict[str, Task[Any]] = {}
_REQUIRED = ("name", "models", "evaluators", "metric", "answer", "visualizer")

T = TypeVar("T", bound=type[Task[Any]])


def register_task(kind: T) -> T:
    """Add a task to `TASKS`; a class decorator.

    Raises:
        InputError: the class lacks something, its name is taken, or another task has the same
            models and the same evaluators, so that no config would tell them apart.
    """
    absent = [name for name in _REQUIRED if not hasattr(kind, name)]
    if absent:
        raise InputError(f"the task {kind.__name__} lacks {', '.join(absent)}: see {__name__}.Task")
    task = kind()
    for other in TASKS.values():
        same_class = _origin(type(other)) == _origin(kind)  # its module was imported once more
        if not same_class and other.name == task.name:
            raise InputError(
                f"the task {kind.__name__} is called {task.name!r}, as is {_origin(type(other))}: "
                "give it another name"
            )
        models, evaluators = ({*getattr(other, a)} & {*getattr(task, a)} for a in _TELLING)
        if not same_class and models and evaluators:
            raise InputError(
                f"the tasks {other.name!r} and {task.name!r} both have the model "
                f"{min(models)} with the evaluator {min(evaluators)}: no config would tell them "
                "apart; give the model or the evaluator a class of its own"
            )
    TASKS[task.name] = task
    register_head_kinds(task.head_kinds)
    return kind


_TELLING = ("models", "evaluators")


def _origin(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def task_named(name: str) -> Task[Any]:
    """Return a task by its name.

    Raises:
        InputError: there is none.
    """
    if name not in TASKS:
        raise InputError(unknown_name("task", name, TASKS))
    return TASKS[name]
