"""The tasks that the demo shows: which configs, and which number."""

from __future__ import annotations

from dataclasses import dataclass

from ttr_backbones.demo.panels import BOXES, DEPTH, SEGMENTATION, Panel


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        config: name of the recipe, without a register.
        ttr_config: the same with one test-time register.
        metric: the evaluator's name of the number that the table shows.
        heading: of its column.
        decimals: so many are shown.
        unit: what the number is, for the line below the table.
        answer: field of a data sample that holds the model's answer.
        panel: how the picture shows an answer.
    """

    config: str
    ttr_config: str
    metric: str
    heading: str
    decimals: int
    unit: str
    answer: str
    panel: Panel


TASKS = {
    "segmentation": Task(
        config="planted_linear_scenes",
        ttr_config="planted_ttr_linear_scenes",
        metric="mIoU",
        heading="mIoU",
        decimals=2,
        unit="mIoU in percent: higher is better",
        answer="pred_sem_seg",
        panel=SEGMENTATION,
    ),
    "depth": Task(
        config="planted_depth_scenes",
        ttr_config="planted_ttr_depth_scenes",
        metric="rmse",
        heading="RMSE",
        decimals=3,
        unit="RMSE in metres, mean over the images: lower is better",
        answer="pred_depth_map",
        panel=DEPTH,
    ),
    "discovery": Task(
        config="planted_tokencut_scenes",
        ttr_config="planted_ttr_tokencut_scenes",
        metric="CorLoc",
        heading="CorLoc",
        decimals=1,
        unit="CorLoc in percent: higher is better",
        answer="pred_box",
        panel=BOXES,
    ),
}
