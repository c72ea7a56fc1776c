"""Where a list of register neurons comes from, and whether a model is what it was found on."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import timm
import torch
from torch import nn

import ttr_backbones
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.search import FoundNeurons
from ttr_backbones.neuron_search.tune import TunedNeurons
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.weights_hash import weights_hash

FAR = 1.5  # lists found at 518 px were seen to fail at 224 px; smaller steps were not
_RANKED = 100  # places of the ranking that are kept


def provenance(found: FoundNeurons, vit: nn.Module, images: ImageBatches) -> dict[str, Any]:
    """Say how `found` was found; everything is plain data, to be saved beside the list."""
    record: dict[str, Any] = {
        "source": "computed by ttr_backbones, Algorithm 1 of arXiv 2506.08010",
        **creation_record(vit, images),
        "detect_block": found.detect_block,
        "threshold": found.threshold,
        "num_outliers": found.num_outliers,
        "ranking": {f"{b}:{u}": float(f"{score:.6g}") for b, u, score in found.ranking[:_RANKED]},
    }
    if isinstance(found, TunedNeurons):
        record |= {
            "selection": found.verdict,
            "passed": found.passed,
            "num_registers": found.num,
            "num_held_out": found.num_held_out,
            "outliers_before": found.outliers_before,
            "outliers_after": found.outliers_after,
            "cosine": found.cosine,
            "controls": found.controls,
            "curve": found.curve,
        }
    return {**found.provenance, **record}


def recorded_search(neurons: RegisterNeurons) -> FoundNeurons | None:
    """Read the search back that `provenance` has recorded; None where a list has no such record.

    Of the ranking there are the places that were kept.
    """
    record = neurons.provenance
    if not {"ranking", "threshold", "detect_block", "num_outliers"} <= record.keys():
        return None
    places = ((place.split(":"), float(score)) for place, score in record["ranking"].items())
    searched: dict[str, Any] = {
        "model": neurons.model,
        "layers": neurons.layers,
        "provenance": record,
        "ranking": [(int(block), int(unit), score) for (block, unit), score in places],
        "threshold": record["threshold"],
        "detect_block": record["detect_block"],
        "num_images": record["num_images"],
        "num_outliers": record["num_outliers"],
    }
    if "selection" not in record:
        return FoundNeurons(**searched)
    same = ("num_held_out", "outliers_before", "outliers_after", "cosine", "controls", "curve")
    tuned = {name: record[name] for name in (*same, "passed")}
    return TunedNeurons(
        **searched, **tuned, num=record["num_registers"], verdict=record["selection"]
    )


def creation_record(vit: nn.Module, images: ImageBatches) -> dict[str, Any]:
    """When, by which versions, from which weights and which images something was computed."""
    return {
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "versions": {
            "ttr_backbones": ttr_backbones.__version__,
            "torch": str(torch.__version__),
            "timm": timm.__version__,
        },
        "weights_sha256": weights_hash(vit),
        "num_images": images.num_images,
        "images_sha256": files_hash(images),
        "input_size": max(images.size) if images.size else None,
    }


def files_hash(images: ImageBatches) -> str | None:
    """SHA-256 of the names and sizes of the files, None for tensors."""
    if not images.files:
        return None
    listed = "".join(f"{file.name} {file.stat().st_size}\n" for file in images.files)
    return hashlib.sha256(listed.encode()).hexdigest()


def differences(neurons: RegisterNeurons, vit: nn.Module, size: int) -> list[str]:
    """Say, in sentences, how a run differs from the one that `neurons` was found in.

    Args:
        neurons: a list of this model (`RegisterNeurons.check` refuses one of another).
        vit: the model.
        size: longer side of the images.
    """
    doubts = weight_differences(neurons, vit)
    calibrated = neurons.provenance.get("input_size")
    if calibrated and max(size / calibrated, calibrated / size) > FAR:
        doubts.append(
            f"the list was found at {calibrated} px, this run is at {size} px: lists do not "
            "always carry over to sizes that far away"
        )
    return doubts


def weight_differences(neurons: RegisterNeurons, vit: nn.Module) -> list[str]:
    """Say, in a sentence, if `vit` has other weights than `neurons` was found on, as far as known.

    The model's name does not tell: a file of other weights may have been loaded into it.
    """
    recorded = neurons.provenance.get("weights_sha256")
    if recorded is None or next(vit.parameters()).is_meta or recorded == weights_hash(vit):
        return []
    return [
        "the weights are not the ones that the list was found on (their SHA-256 differs): "
        "register neurons belong to one checkpoint"
    ]
