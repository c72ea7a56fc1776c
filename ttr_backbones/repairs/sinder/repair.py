"""SINDER as a repair: weights whose singular values were changed (arXiv 2407.16826)."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.provenance import creation_record
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.changed_weights import ChangedWeights, describe_changes
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.repairs.sinder.directions import Direction, defect_directions
from ttr_backbones.repairs.sinder.neighbourhood import DefectRule, Rule
from ttr_backbones.repairs.sinder.pass_to_defects import PassToDefects
from ttr_backbones.repairs.sinder.singular_values import change_singular_values, matrices
from ttr_backbones.repairs.sinder.trained_matrix import TrainedMatrix
from ttr_backbones.repairs.sinder.training import TrainingCounts, train
from ttr_backbones.repairs.training_log import TrainingLog
from ttr_backbones.vits.neurons import RegisterNeurons

THRESHOLDS: dict[str, float] = {"std": 4.0, "mad": 4.0, "cosine": 0.7}
_IMAGES = 30_000  # that the authors take
_NAME = re.compile(r"\d+\.\w+")


class SinderWeights(ChangedWeights):
    """A ViT with changed singular values."""


@register_repair
class Sinder(Repair):
    """Singular values of values, projections and MLPs, changed by training.

    The options' first values are the authors', who ran DINOv2 ViT-g only. Where outliers are
    written by one block (most smaller models) take direction="block"; where they lie in the corners
    border=True; where they are many rule="mad"; and lr=2e-4 where 5e-3 costs too much.
    """

    type = "sinder"
    label = "SINDER"
    colour = "#cc79a7"
    fit_options: ClassVar[Mapping[str, str]] = {
        "direction": "of defects: product (as published), block, empirical; random is the control",
        "rule": "by what |cos| is a defect: std (as published), mad, cosine",
        "threshold": "of the rule: by default 4 (std, mad) or 0.7 (cosine)",
        "border": "whether patches of the outermost rows and columns may be defects (False)",
        "minimum": "defects that an image needs to be trained on (3)",
        "window": "blocks trained at a time, the last of which is the first with defects (10)",
        "lr": "learning rate of SGD (0.005)",
        "momentum": "of SGD (0.9)",
        "steps": "batches at most, over the images again and again (as 30,000 images give)",
        "seed": "of direction=random (0)",
    }
    controls: ClassVar[Mapping[str, str]] = {"random": "random direction"}
    swaps = (SinderWeights,)
    changes_weights = True
    trains = "singular values"

    def fit(
        self,
        vit: nn.Module,
        images: ImageBatches,
        *,
        direction: Direction = "product",
        rule: Rule = "std",
        threshold: float | None = None,
        border: bool = False,
        minimum: int = 3,
        window: int = 10,
        lr: float = 0.005,
        momentum: float = 0.9,
        steps: int | None = None,
        seed: int = 0,
        log: TrainingLog | None = None,
    ) -> Artifact:
        """Train the singular values until few images have defects.

        Raises:
            InputError: an option that cannot be; a model whose blocks cannot be taken apart; images
                none of which has defects; a training that diverged.
            NoOutliersError: direction="empirical" on images without outliers.
        """
        threshold = THRESHOLDS.get(rule, 1.0) if threshold is None else threshold
        detection = DefectRule(rule, threshold, border)
        steps = math.ceil(_IMAGES / images.batch_size) if steps is None else steps
        _check(minimum=minimum, window=window, steps=steps)
        if not (lr > 0 and 0 <= momentum < 1):
            raise InputError(f"lr={lr}, momentum={momentum}: expected lr > 0, 0 <= momentum < 1")
        directions = defect_directions(vit, direction, images, seed=seed)
        trained = {name: TrainedMatrix(part) for name, part in matrices(vit).items()}
        log = log or TrainingLog()
        log.start(steps=steps, parameters=sum(m.epsilon.numel() for m in trained.values()))
        passing = PassToDefects(vit, trained, directions, detection, minimum=minimum, window=window)
        outcome = train(
            passing,
            list(trained.values()),
            images,
            steps=steps,
            lr=lr,
            momentum=momentum,
            log=log,
        )
        notes = outcome.notes(detection, minimum)
        if not outcome.trained and direction == "random":
            notes.append("no image had defects along a random direction, so nothing was trained")
        elif not outcome.trained:
            raise InputError(_nothing(outcome, notes, direction, detection, minimum))
        for note in notes:
            warnings.warn(note, stacklevel=2)
        moved = {name: m.epsilon.detach() for name, m in trained.items() if m.epsilon.any()}
        options = {"direction": direction, "rule": rule, "threshold": threshold, "border": border}
        options |= {"minimum": minimum, "window": window, "lr": lr, "momentum": momentum}
        provenance = {
            "source": "trained as arXiv 2407.16826 says",
            **creation_record(vit, images),
            **options,
            "batch_size": images.batch_size,
            "seed": seed,
            **_outcome_facts(outcome),
            "notes": notes,
        }
        return Artifact(self.type, "", moved, {}, provenance)

    def control_options(self, artifact: Artifact, control: str) -> dict[str, Any]:
        """The same steps at the same rate over the same images, towards another direction."""
        fitted = artifact.provenance
        same = ("rule", "threshold", "border", "minimum", "window", "lr", "momentum", "seed")
        if lacking := [k for k in (*same, "batches", "batch_size") if k not in fitted]:
            raise InputError(
                f"the artifact does not say with which {', '.join(lacking)} it was trained, so "
                f"its control cannot be trained alike: expected a file of {self.command()}"
            )
        return {**{k: fitted[k] for k in same}, "direction": control, "steps": fitted["batches"]}

    def apply(self, vit: nn.Module, artifact: Artifact, **options: Any) -> None:
        """Fold the changes into the weights; there are no options."""
        del options
        change_singular_values(vit, artifact.tensors)
        describe_changes(vit, SinderWeights, {"sha256": artifact.sha256})

    def describe(self, vit: Any) -> dict[str, Any]:
        """The hash of the changes."""
        return dict(vit.description)

    def check(self, artifact: Artifact) -> None:
        """Changes by "block.part"."""
        for name, epsilon in artifact.tensors.items():
            if not _NAME.fullmatch(name) or epsilon.ndim != 1 or not epsilon.is_floating_point():
                raise InputError(
                    f"an artifact of type='sinder' has the changes of singular values, [rank] by "
                    f"'BLOCK.PART'; this one has {name!r} {tuple(epsilon.shape)} {epsilon.dtype}"
                )

    def example(self, vit: nn.Module, images: ImageBatches, neurons: RegisterNeurons) -> Artifact:
        """Change nothing: what is folded costs nothing at run time."""
        del images, neurons
        return Artifact(self.type, "", {"0.value": torch.zeros(_rank(vit))})


def _rank(vit: nn.Module) -> int:
    return min(matrices(vit)["0.value"].weight.shape)


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name}={count}: expected a number above 0")


def _outcome_facts(outcome: TrainingCounts) -> dict[str, Any]:
    return {
        "stopped": outcome.stopped,
        "batches": outcome.steps,
        "batches_not_finite": outcome.not_finite,
        "images_trained": outcome.trained,
        "images_skipped": outcome.skipped,
        "first_defects_after_block": {str(b): n for b, n in sorted(outcome.blocks.items())},
    }


def _nothing(
    outcome: TrainingCounts, notes: list[str], direction: str, detection: DefectRule, minimum: int
) -> str:
    """Say that nothing was trained, and what to try."""
    others = [other for other in ("block", "empirical") if other != direction]
    advice = ". ".join(notes) or f"take direction={' or direction='.join(map(repr, others))}"
    return (
        f"nothing was trained: none of {outcome.skipped} images has {minimum} defects after any "
        f"block (direction={direction!r}, rule={detection.rule!r}, threshold="
        f"{detection.threshold:g}, border={detection.border}). {advice}. A model without outliers "
        "has none: use it as it is"
    )
