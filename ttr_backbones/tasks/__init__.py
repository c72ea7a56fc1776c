"""Tasks: all that is known about each is in its file, and every table asks `TASKS`.

Importing this registers the tasks, and their visualizers in mmseg's VISUALIZERS.
"""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from typing import Any

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

import ttr_backbones.evaluation
import ttr_backbones.tasks.drawing.box_visualizer
import ttr_backbones.tasks.drawing.class_visualizer
import ttr_backbones.tasks.drawing.depth_visualizer  # noqa: F401
from ttr_backbones.tasks.classification import Classification, ImageClass, KnnClassification
from ttr_backbones.tasks.depth import Depth, DepthMap
from ttr_backbones.tasks.foreground import Foreground, ForegroundSegmentation
from ttr_backbones.tasks.metric import Metric
from ttr_backbones.tasks.object_discovery import FoundObject, ObjectDiscovery
from ttr_backbones.tasks.of_config import find_task, metric_of, task_of
from ttr_backbones.tasks.open_vocabulary import OpenVocabularySegmentation
from ttr_backbones.tasks.prediction import Labels, Prediction, Saved
from ttr_backbones.tasks.segmentation import ClassMap, Segmentation
from ttr_backbones.tasks.task import TASKS, ExportedOutput, Task, register_task, task_named
from ttr_backbones.tasks.zero_shot import TypographicAttack, ZeroShotClassification

kinds: list[type[Task[Any]]] = [Segmentation, OpenVocabularySegmentation, Depth]
kinds += [ObjectDiscovery, Classification]
kinds += [KnnClassification, ForegroundSegmentation, ZeroShotClassification, TypographicAttack]
for kind in kinds:  # in the order of all tables
    register_task(kind)
del kind, kinds

__all__ = [
    "TASKS",
    "ClassMap",
    "DepthMap",
    "ExportedOutput",
    "Foreground",
    "FoundObject",
    "ImageClass",
    "Labels",
    "Metric",
    "Prediction",
    "Saved",
    "Task",
    "find_task",
    "metric_of",
    "register_task",
    "task_named",
    "task_of",
]
