"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.engine.head_kinds import HeadKind
from ttr_backbones.evaluation.image_parts import MeanIoU
from ttr_backbones.tasks.drawing.masks import draw_mask
from ttr_backbones.tasks.metric import Metric
from ttr_backbones.tasks.prediction import Labels, Prediction, Saved
from ttr_backbones.tasks.task import ExportedOutput, Task


@dataclass(frozen=True)
class ClassMap(Prediction):
    """Semantic segmentation of an image.

    Args:
        mask: class of every pixel, an index into `classes`, uint8 (uint16 from 257 classes on)
            [H, W].
        classes: names.
        palette: RGB colours, uint8 [classes, 3].
        logits: scores of every class, float32 [classes, H, W]; None unless asked for.
    """

    mask: NDArray[Any]
    classes: tuple[str, ...] = field(repr=False)
    palette: NDArray[np.uint8] = field(repr=False)
    logits: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def present(self) -> dict[str, float]:
        """The classes that occur and their share of the pixels, largest first."""
        numbers, counts = np.unique(self.mask, return_counts=True)
        shares = sorted(zip(counts / self.mask.size, numbers, strict=True), reverse=True)
        return {self.classes[number]: float(share) for share, number in shares}

    def draw(self) -> NDArray[np.uint8]:
        """Draw the image beside itself under the mask, with a legend; RGB."""
        return draw_mask(self.image, self.mask, self.classes, self.palette, title=self.title)

    def saved(self, scale: float | None = None) -> Saved:  # noqa: ARG002
        """Return the mask, of class numbers."""
        return Saved(pngs={"masks": self.mask})

    def facts(self, scale: float | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return {class number: name}."""
        return {"classes": dict(enumerate(self.classes))}


class Segmentation(Task[ClassMap]):
    """A head that is trained on the maps, scored by the mean IoU of its classes."""

    name = "segmentation"
    models = ("EncoderDecoder",)
    evaluators = ("IoUMetric", "NamedIoUMetric")
    metric = Metric("mIoU", "mIoU", "%", "percent", higher_is_better=True, decimals=2)
    image_parts = MeanIoU()
    answer = "pred_sem_seg"
    logits = "seg_logits"
    visualizer = "SegLocalVisualizer"
    probes = {"EncoderDecoder": "ProbeSegmentor"}  # noqa: RUF012 -- a ClassVar in `Task`
    head_kinds: ClassVar[tuple[HeadKind, ...]] = (
        HeadKind(
            kind="segmentation",
            weight="decode_head.conv_seg.weight",
            config="a config of segmentation, as linear_ade20k",
            outputs="the file predicts {} classes and the config {}: take the config of the file's "
            "data set (ADE20K has 150, VOC2012 has 21).",
            four="the file is a multi-scale (ms) head over four maps: take the _ms config.",
            one="the file is a linear head over one map: take the config without _ms.",
        ),
    )
    exported: ClassVar[ExportedOutput | None] = ExportedOutput(
        "logits",
        "float32 [B, K, H, W]: one per class, before the softmax; argmax over K is the class",
        has_classes=True,
    )

    def prediction(
        self,
        path: Path | None,
        image: NDArray[np.uint8],
        sample: Any,
        labels: Labels,
        *,
        logits: bool = False,
    ) -> ClassMap:
        """Take the class of every pixel."""
        small = np.uint8 if len(labels.classes) <= 256 else np.uint16
        mask = sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(small)
        scores = sample.seg_logits.data.float().cpu().numpy() if logits else None
        return ClassMap(path, image, mask, labels.classes, labels.palette, scores)

    def save_into(self, evaluator: dict[str, Any], place: Path) -> None:
        """Have masks saved under names that tell all images apart."""
        super().save_into(evaluator, place)
        evaluator["type"] = "NamedIoUMetric"
        # mmseg makes the folder in one process, while another may write into it already.
        place.mkdir(parents=True, exist_ok=True)
