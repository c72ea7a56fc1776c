"""What is found out about one model: search, verification on other images, and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ttr_backbones.atlas.thumbnail import thumbnail
from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.provenance import provenance
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.neuron_search.tune import TunedNeurons, tune_register_neurons
from ttr_backbones.neuron_search.verification import Verification, verify_neurons
from ttr_backbones.vits.neurons import RegisterNeurons

VERIFIED_ON = 0.25  # share of the images that the search does not see

PASSED, FAILED = "passed", "failed"
NO_OUTLIERS, NO_SET, ERROR = "no outliers", "no set", "error"


@dataclass(frozen=True)
class Entry:
    """One row of the table; plain data.

    Args:
        model: tagged name.
        source: where the weights are from, "hub" or the name of a file or folder.
        status: "passed" or "failed" (on the images of the verification), "no set" (no set of
            neurons takes the outliers away), "no outliers", "error".
        verdict: the status as a sentence.
        licence: of the weights; "unknown" for a file.
        weights_sha256: of the model; None if it could not be made.
        images_sha256: of the images, by names and sizes.
        input_size: side of the images in pixels.
        outliers_before: share of the patches of the verification's images.
        outliers_after: the same with the neurons moved.
        neurons: {block: units} as moved.
        cosine: of the other patches to what they were.
        neuron_list: file of the list, relative to the folder; None without one.
        picture: norm maps before and after, a PNG relative to the folder.
    """

    model: str
    source: str
    status: str
    verdict: str
    licence: str = "unknown"
    weights_sha256: str | None = None
    images_sha256: str | None = None
    input_size: int | None = None
    outliers_before: float | None = None
    outliers_after: float | None = None
    neurons: Mapping[str, list[int]] = field(default_factory=dict)
    cosine: float | None = None
    neuron_list: str | None = None
    picture: str | None = None

    @property
    def num_neurons(self) -> int:
        """How many neurons are moved."""
        return sum(map(len, self.neurons.values()))

    def same_inputs(self, weights: str, images: str | None, size: int | None) -> bool:
        """Whether it was computed of these, so that it need not be computed again."""
        mine = (self.weights_sha256, self.images_sha256, self.input_size)
        return self.status != ERROR and mine == (weights, images, size)


@dataclass(frozen=True)
class Findings:
    """Results of one model: verdict, picture, and its neurons if there are any.

    Args:
        status: see `Entry`.
        verdict: see `Entry`.
        picture: PNG.
        neurons: the list with its provenance; None if there is none to use.
        seen: the verification; None without a list.
    """

    status: str
    verdict: str
    picture: bytes
    neurons: RegisterNeurons | None = None
    seen: Verification | None = None

    def numbers(self) -> dict[str, Any]:
        """The fields of `Entry` that were measured."""
        numbers: dict[str, Any] = {"status": self.status, "verdict": self.verdict}
        if self.neurons is not None and self.seen is not None:
            numbers |= {
                "outliers_before": self.seen.outliers_before,
                "outliers_after": self.seen.outliers_after,
                "cosine": self.seen.cosine,
                "neurons": {str(b): list(units) for b, units in self.neurons.layers.items()},
            }
        return numbers


def examine(vit: nn.Module, images: ImageBatches) -> Findings:
    """Find the register neurons of a model on three quarters of the images, verify on the rest.

    Args:
        vit: without test-time registers; left as it is.
        images: photographs.

    Raises:
        InputError: see `tune_register_neurons` and `verify_neurons`.
    """
    searched, others = images.split(VERIFIED_ON)
    shown = next(iter(others))[:1]
    try:
        found = tune_register_neurons(vit, searched)
        if not found.passed:
            return Findings(NO_SET, found.verdict, thumbnail(vit, shown, found.detect_block))
        seen = verify_neurons(vit, found, others, num=found.num)
    except NoOutliersError as error:
        verdict = f"No neurons to move: {error}"
        return Findings(NO_OUTLIERS, verdict, thumbnail(vit, shown, -1))
    facts = provenance(found, vit, searched) | {"verification": _verification(seen)}
    if not seen.passed:
        facts["doubt"] = f"it failed on {seen.num_images} other images ({_failures(seen)})"
    return Findings(
        PASSED if seen.passed else FAILED,
        _verdict(found, seen),
        thumbnail(vit, shown, seen.detect_block, found),
        RegisterNeurons(found.model, found.layers, facts),
        seen,
    )


def failed(model: str, source: str, error: Exception) -> Entry:
    """The row of a model whose search raised an error."""
    why = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return Entry(model, source, ERROR, why)


def _verification(seen: Verification) -> dict[str, Any]:
    return {
        "num_images": seen.num_images,
        "outliers_before": seen.outliers_before,
        "outliers_after": seen.outliers_after,
        "cosine": seen.cosine,
        "top1_agreement": seen.top1_agreement,
        "passed": seen.passed,
    }


def _verdict(found: TunedNeurons, seen: Verification) -> str:
    count = len(found)
    words = (
        f"{count} neuron{'s' * (count != 1)} to {found.num} register{'s' * (found.num != 1)}, "
        f"judged on {seen.num_images} other images"
    )
    return words if seen.passed else f"{words}: failed by {_failures(seen)}"


def _failures(seen: Verification) -> str:
    words = {
        "remaining": "outliers that are left",
        "random": "random neurons that do it too",
        "register": "the lack of a register",
        "cosine": "the cosine of the other patches",
        "top1_agreement": "classes that change",
    }
    return " and ".join(words[name] for name, holds in seen.checks.items() if not holds)


def release() -> None:
    """Give the memory of the last model back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
