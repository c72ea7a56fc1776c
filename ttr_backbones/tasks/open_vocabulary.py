"""Open-vocabulary segmentation: a class for every pixel, from the names of the classes alone."""

from __future__ import annotations

from ttr_backbones.tasks.segmentation import Segmentation


class OpenVocabularySegmentation(Segmentation):
    """Patches compared with vectors of texts, without training; scored by the mean IoU."""

    name = "open-vocabulary segmentation"
    models = ("OpenVocabularySegmentor",)
    trains = False
    probes = {}  # noqa: RUF012 -- a ClassVar in `Task`
    head_kinds = ()
    exported = None
