"""Zero-shot classification by the vectors of names, and how a written word disturbs it."""

from __future__ import annotations

from ttr_backbones.evaluation.image_parts import TakenForWord
from ttr_backbones.tasks.classification import Classification
from ttr_backbones.tasks.metric import Metric


class ZeroShotClassification(Classification):
    """Class of the most similar text vector; nothing is trained."""

    name = "zero-shot classification"
    models = ("ZeroShotClassifier",)
    evaluators = ("AccuracyMetric",)
    metric = Metric("top1", "zero-shot top-1", "%", "percent", higher_is_better=True, decimals=2)
    trains = False
    probes = {}  # noqa: RUF012 -- a ClassVar in `Task`
    head_kinds = ()


class TypographicAttack(ZeroShotClassification):
    """The same on photographs with a wrong word in them: how often the word wins."""

    name = "typographic attack"
    evaluators = ("TypographicMetric",)
    metric = Metric(
        *("attack_success", "attack success", "%", "percent"), higher_is_better=False, decimals=1
    )
    image_parts = TakenForWord()
