"""Find the register neurons of a model with nothing to choose by hand, and say how well they do.

1. Norms after every block show where outliers appear, where they stand out most, and from which
   norm on a token is one.
2. The neurons up to the block where they appear are ranked (Algorithm 1).
3. Sets from the head of that ranking are moved to a register, and what is left of the outliers is
   measured on images that the ranking has not seen.
4. So are the controls: random neurons, and clearing the neurons without a register.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.neuron_search.held_out import MOST_HELD_OUT, HeldOutTrials, layers_of
from ttr_backbones.neuron_search.onset import find_onset
from ttr_backbones.neuron_search.search import FoundNeurons, find_register_neurons
from ttr_backbones.neuron_search.selection import (
    Trial,
    Trials,
    choose_neurons,
    choose_registers,
)
from ttr_backbones.neuron_search.verdict import Control, passes, verdict
from ttr_backbones.vits.class_swap import has_test_time_registers, restored_eval
from ttr_backbones.vits.family import family_of


@dataclass(frozen=True)
class TunedNeurons(FoundNeurons):
    """The set chosen, what it does to held-out images, and everything that was tried.

    Args:
        num: registers the neurons are to be moved to.
        num_held_out: images kept out of the ranking, on which all that follows was measured.
        outliers_before: share of their patches that are outliers without registers.
        outliers_after: the same with the neurons moved.
        cosine: mean cosine similarity of all other patches to what they were without registers.
        curve: every set tried: k, num, outliers (share of patches), cosine, step, top_block.
        controls: "random" (mean of three draws) and "zeroed", each with outliers and cosine.
        passed: whether under 1 % of the outliers are left, and random neurons leave most of them.
        verdict: all this in words.
    """

    num: int = 1
    num_held_out: int = 0
    outliers_before: float = float("nan")
    outliers_after: float = float("nan")
    cosine: float = float("nan")
    curve: list[dict[str, Any]] = field(default_factory=list, compare=False)
    controls: Mapping[str, Control] = field(default_factory=dict, compare=False)
    passed: bool = False
    verdict: str = ""


def tune_register_neurons(
    vit: nn.Module,
    images: Tensor | str | Path | Iterable[Any],
    *,
    num_images: int | None = None,
    holdout: float = 0.25,
    max_neurons: int = 64,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> TunedNeurons:
    """Find the smallest set of neurons that takes the outliers away and changes little else.

    In a distributed job the processes share the images, and all come to the same result.

    Args:
        vit: a timm ViT without test-time registers; left exactly as it came.
        images: whatever `image_batches` takes, if it can be read twice.
        num_images: how many of them; by default all.
        holdout: share of the images kept out of the ranking to choose and judge the set (at most
            64 images).
        max_neurons: the largest set tried.
        batch_size: images per batch.
        progress: called with (images done, images in all) after every batch of every pass.

    Raises:
        NoOutliersError: no block shows a group of patches with norms far above the others'.
        InputError: the images are too few or come only once, an option is out of range, or `vit`
            has test-time registers.
    """
    if max_neurons < 1:
        raise InputError(f"max_neurons={max_neurons}: expected at least 1")
    if has_test_time_registers(vit):
        raise InputError("this model has test-time registers: remove them before tuning")
    batches = image_batches(
        images, vit, batch_size=batch_size, num_images=num_images, progress=progress
    )
    if batches.num_images:
        holdout = min(holdout, MOST_HELD_OUT / batches.num_images)
    ranked, held_out = batches.split(holdout)
    with restored_eval(vit):
        return _tune(vit, ranked, held_out, max_neurons)


def _tune(
    vit: nn.Module, ranked: ImageBatches, images: ImageBatches, max_neurons: int
) -> TunedNeurons:
    onset = find_onset(vit, ranked)
    found = find_register_neurons(
        vit,
        ranked,
        detect_block=onset.detect,
        threshold=onset.threshold,
        top_block=min(max(onset.first + 1, onset.detect), len(family_of(vit).blocks(vit)) - 1),
        top_k=max_neurons,
    )
    held_out = HeldOutTrials(vit, found.model, onset, images)
    best, curve = _choose(held_out, found, max_neurons)
    controls = {
        "random": _control(*held_out.random_controls(best)),
        "zeroed": _control(held_out(best.neurons, 0, "control")),
    }
    words = verdict(best, controls["random"], controls["zeroed"], held_out.num_images)
    return TunedNeurons(
        model=found.model,
        layers=layers_of(best.neurons),
        provenance=found.provenance,
        ranking=found.ranking,
        threshold=found.threshold,
        detect_block=found.detect_block,
        num_images=found.num_images,
        num_outliers=found.num_outliers,
        num=best.num,
        num_held_out=held_out.num_images,
        outliers_before=best.before,
        outliers_after=best.after,
        cosine=best.cosine,
        curve=curve,
        controls=controls,
        passed=passes(best, controls["random"]),
        verdict=words,
    )


def _choose(
    held_out: HeldOutTrials, found: FoundNeurons, max_neurons: int
) -> tuple[Trial, list[dict[str, Any]]]:
    """Try the neurons up to the block where outliers appear, else to the one before or after.

    The paper's lists end one block before the outliers appear in OpenCLIP, at that block in DINOv2.
    Where later blocks write them too, it takes the neurons up to the detection block.
    """
    first, tried, curve = held_out.onset.first, [], []
    for top in dict.fromkeys((first, first - 1, first + 1, held_out.onset.detect)):
        ranking = [(b, u) for b, u, _ in found.ranking if b <= top][:max_neurons]
        if ranking:
            trials = Trials(held_out)
            tried.append(choose_registers(choose_neurons(ranking, trials), trials))
            curve += [_point(trial, top) for trial in trials]
            if tried[-1].solved:
                return tried[-1], curve
    return min(tried, key=lambda trial: trial.after), curve


def _control(*trials: Trial) -> Control:
    return {
        "outliers": mean(trial.after for trial in trials),
        "cosine": mean(trial.cosine for trial in trials),
    }


def _point(trial: Trial, top_block: int) -> dict[str, Any]:
    return {
        "k": len(trial.neurons),
        "num": trial.num,
        "outliers": trial.after,
        "cosine": trial.cosine,
        "step": trial.step,
        "top_block": top_block,
    }
