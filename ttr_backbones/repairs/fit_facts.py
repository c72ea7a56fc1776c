"""Cost of fitting an artifact, as far as its provenance records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.registry import repair_named


@dataclass(frozen=True)
class FitFacts:
    """Cost of one fit; None where the artifact does not record it.

    Args:
        parameters: numbers that were trained; 0 where nothing was.
        images: different images that were looked at.
        steps: of training that ran; 0 where nothing was trained.
        steps_trained: those of them that changed something (SINDER: on images with defects).
        minutes: wall time.
        loss: [[step, loss], ...] of a training.
    """

    parameters: int | None
    images: int | None
    steps: int | None
    minutes: float | None
    loss: tuple[tuple[int, float], ...] = ()
    steps_trained: int | None = None


NOTHING = FitFacts(0, 0, 0, 0.0)
"""Of a model as it is."""


def fit_facts(artifact: Artifact) -> FitFacts:
    """Read them from the provenance of an artifact, or of the list of neurons in it."""
    record: Mapping[str, Any] = artifact.provenance
    fit = record.get("fit") or {}
    trained = bool(repair_named(artifact.type).trains)
    images = _number(fit.get("num_images"), record.get("num_images"), _listed(record))
    seen = _number(fit.get("images_seen"))
    if images is not None and seen is not None:
        images = min(images, seen)
    seconds = fit.get("seconds")
    return FitFacts(
        parameters=_number(fit.get("parameters")) if trained else 0,
        images=images,
        steps=_number(fit.get("steps")) if trained else 0,
        minutes=seconds / 60 if isinstance(seconds, int | float) else None,
        steps_trained=_number(fit.get("steps_trained"), fit.get("steps")) if trained else None,
        loss=tuple((int(step), float(loss)) for step, loss in fit.get("loss") or ()),
    )


def _listed(record: Mapping[str, Any]) -> Any:
    neurons = record.get("neurons")
    return neurons.get("num_images") if isinstance(neurons, Mapping) else None


def _number(*candidates: Any) -> int | None:
    return next((each for each in candidates if isinstance(each, int)), None)
