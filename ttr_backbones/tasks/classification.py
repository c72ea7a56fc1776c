"""Classification of whole images: a class for every image, by a head or by its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.engine.head_kinds import HeadKind
from ttr_backbones.evaluation.image_parts import ImageParts, TopOne, TopOneOfBestK
from ttr_backbones.tasks.drawing.classes import draw_classes
from ttr_backbones.tasks.metric import Metric
from ttr_backbones.tasks.prediction import Labels, Prediction, Saved
from ttr_backbones.tasks.task import ExportedOutput, Task


@dataclass(frozen=True)
class ImageClass(Prediction):
    """The class of an image.

    Args:
        classes: names of the best classes, best first.
        scores: their probabilities, of kNN their shares of the votes, float32 [len(classes)].
        number: of the best class.
    """

    collected = {"classes.json": "class"}  # noqa: RUF012 -- a ClassVar in `Prediction`

    classes: tuple[str, ...]
    scores: NDArray[np.float32]
    number: int

    def draw(self) -> NDArray[np.uint8]:
        """Draw the image beside the best classes; RGB."""
        return draw_classes(self.image, self.classes, self.scores, title=self.title)

    def saved(self, scale: float | None = None) -> Saved:  # noqa: ARG002
        """Return the best classes and their probabilities."""
        scores = dict(zip(self.classes, (round(float(s), 6) for s in self.scores), strict=True))
        facts = {"class": self.classes[0], "number": self.number, "scores": scores}
        return Saved(facts=facts)


class Classification(Task[ImageClass]):
    """A head that is trained on tokens, scored by how often its best class is the true one."""

    name = "classification"
    models = ("ImageClassifier",)
    evaluators = ("AccuracyMetric",)
    image_parts: ClassVar[ImageParts | None] = TopOne()
    metric = Metric("top1", "top-1", "%", "percent", higher_is_better=True, decimals=2)
    answer = "pred_classes"
    visualizer = "ClassVisualizer"
    probes = {"ImageClassifier": "ProbeClassifier"}  # noqa: RUF012 -- a ClassVar in `Task`
    head_kinds: ClassVar[tuple[HeadKind, ...]] = (
        HeadKind(
            kind="classification",
            weight="decode_head.linear.weight",
            config="a config of classification, as linear_imagenet",
            outputs="the file scores {0} classes and the config {1}: set "
            "model.decode_head.num_classes={0}, or take the file of the config's classes.",
            four="the file is a head over four blocks: take linear4_imagenet.",
            one="the file is a head over one block: take linear_imagenet.",
            ratio=2.5,  # CLS of one block or of four, and the mean patch of the last beside it
        ),
    )
    exported: ClassVar[ExportedOutput | None] = ExportedOutput(
        "logits", "float32 [B, K]: class scores, before any softmax", has_classes=True
    )
    output_argument = "output_file"

    def prediction(
        self,
        path: Path | None,
        image: NDArray[np.uint8],
        sample: Any,
        labels: Labels,
        *,
        logits: bool = False,  # noqa: ARG002
    ) -> ImageClass:
        """Take the best classes."""
        numbers = sample.pred_classes.tolist()
        names = tuple(labels.classes[n] if labels.classes else f"class {n}" for n in numbers)
        return ImageClass(path, image, names, sample.pred_scores.numpy(), numbers[0])


class KnnClassification(Classification):
    """The classes of the nearest labelled images, scored likewise; nothing is trained."""

    name = "kNN classification"
    models = ("KnnClassifier",)
    evaluators = ("KnnMetric",)
    image_parts = TopOneOfBestK()
    metric = Metric("top1", "kNN top-1", "%", "percent", higher_is_better=True, decimals=2)
    answer = "pred_by_k"
    trains = False
    exported = None  # its labelled images are no part of a model
    probes = {}  # noqa: RUF012 -- a ClassVar in `Task`
    head_kinds = ()

    def prediction(self, *args: Any, **kwargs: Any) -> ImageClass:
        """Take the classes that any neighbour votes for, of the first k."""
        found = super().prediction(*args, **kwargs)
        count = int((found.scores > 0).sum())  # the best come first
        return replace(found, classes=found.classes[:count], scores=found.scores[:count])
