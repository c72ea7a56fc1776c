"""How the demo's picture shows the answers of each task, and the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from PIL import Image

from ttr_backbones.datasets.scenes import CLASSES, FAR_MM, NEAR_MM, PALETTE
from ttr_backbones.evaluation.corloc import box_iou

_FOUND, _TRUE = "#0072b2", "#d55e00"  # Okabe and Ito's blue and vermilion


@dataclass(frozen=True)
class Panel:
    """Drawing for one task.

    Args:
        truth: reads the truth of validation scene `index` from the folder of scenes, in the form
            of an answer.
        draw: draws an answer or the truth on an axis; gets the scene's image too.
        quality: how good an answer is, given the truth; higher is better.
        headline: says the quality in words.
        legend: what the colours mean.
    """

    truth: Callable[[Path, int], Any]
    draw: Callable[[Any, NDArray[np.uint8], Any], None]
    quality: Callable[[Any, Any], float]
    headline: Callable[[float], str]
    legend: Callable[[], list[Patch]]


def _draw_classes(axis: Any, _image: NDArray[np.uint8], mask: NDArray[np.integer]) -> None:
    axis.imshow(np.array(PALETTE, dtype=np.uint8)[mask])


def _true_classes(scenes: Path, index: int) -> NDArray[np.uint8]:
    return np.asarray(Image.open(scenes / "annotations" / "val" / f"{index:04d}.png"))


def _class_legend() -> list[Patch]:
    return [
        Patch(facecolor=np.array(colour) / 255, label=name, edgecolor="grey")
        for name, colour in zip(CLASSES, PALETTE, strict=True)
    ]


def _draw_metres(axis: Any, _image: NDArray[np.uint8], depth: NDArray[np.floating]) -> None:
    axis.imshow(depth, vmin=NEAR_MM / 1000, vmax=FAR_MM / 1000, cmap="magma_r")


def _true_metres(scenes: Path, index: int) -> NDArray[np.float64]:
    return np.asarray(Image.open(scenes / "depth" / "val" / f"{index:04d}.png")) / 1000


def _metre_legend() -> list[Patch]:
    steps = np.linspace(0, 1, 8)
    metres = NEAR_MM / 1000 + steps * (FAR_MM - NEAR_MM) / 1000
    colours = colormaps["magma_r"](steps)
    return [
        Patch(facecolor=colour, label=f"{metre:.0f} m", edgecolor="grey")
        for colour, metre in zip(colours, metres, strict=True)
    ]


def _draw_boxes(axis: Any, image: NDArray[np.uint8], boxes: NDArray[np.floating]) -> None:
    axis.imshow(image)
    boxes = np.asarray(boxes)
    is_single = boxes.ndim == 1
    for x1, y1, x2, y2 in boxes.reshape(-1, 4):
        corner = (x1 - 0.5, y1 - 0.5)  # a pixel's centre has whole coordinates
        axis.add_patch(
            Rectangle(
                corner,
                x2 - x1,
                y2 - y1,
                fill=False,
                linewidth=3,
                edgecolor=_FOUND if is_single else _TRUE,
                linestyle="-" if is_single else "--",
            )
        )


def _true_boxes(scenes: Path, index: int) -> NDArray[np.float64]:
    listed = json.loads((scenes / "boxes" / "val.json").read_text())
    boxes = [
        annotation["bbox"]
        for annotation in listed["annotations"]
        if annotation["image_id"] == index + 1
    ]
    corners = np.array(boxes, dtype=float)
    return np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)


def _box_legend() -> list[Patch]:
    return [
        Patch(fill=False, edgecolor=_TRUE, linestyle="--", linewidth=2, label="objects"),
        Patch(fill=False, edgecolor=_FOUND, linewidth=2, label="box found"),
    ]


def _accuracy(mask: NDArray[np.integer], truth: NDArray[np.integer]) -> float:
    return float(np.mean(mask == truth))


def _minus_rmse(depth: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    return -float(np.sqrt(np.mean(np.square(depth - truth))))


def _overlap(box: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    return float(box_iou(box[None], truth).max())


SEGMENTATION = Panel(
    truth=_true_classes,
    draw=_draw_classes,
    quality=_accuracy,
    headline=lambda quality: f"prediction: {quality:.1%} of pixels right",
    legend=_class_legend,
)
DEPTH = Panel(
    truth=_true_metres,
    draw=_draw_metres,
    quality=_minus_rmse,
    headline=lambda quality: f"prediction: RMSE {-quality:.2f} m",
    legend=_metre_legend,
)
BOXES = Panel(
    truth=_true_boxes,
    draw=_draw_boxes,
    quality=_overlap,
    headline=lambda quality: f"largest IoU with an object: {quality:.2f}",
    legend=_box_legend,
)
# Field of a data sample that holds the model's answer -> how it is shown.
PANELS = {"pred_sem_seg": SEGMENTATION, "pred_depth_map": DEPTH, "pred_box": BOXES}
