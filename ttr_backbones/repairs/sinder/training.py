"""The training of SINDER: steps over images until few of them have defects (arXiv 2407.16826)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.images.finite import NonFiniteError
from ttr_backbones.repairs.sinder.neighbourhood import DefectRule
from ttr_backbones.repairs.sinder.pass_to_defects import BatchCounts, PassToDefects
from ttr_backbones.repairs.sinder.trained_matrix import TrainedMatrix
from ttr_backbones.repairs.training_log import TrainingLog

_RECENT = 1000  # images
_SKIPPED = 0.75  # of these: then it is done
_HOPELESS = 50  # steps in a row whose loss or gradient is not finite


@dataclass
class TrainingCounts:
    """Counts of one training run.

    Args:
        stopped: why it ended: "steps", "skipped" (three in four of the last 1,000 images had no
            defects) or "images" (a stream that ended).
        steps: batches looked at, also those that changed nothing.
        trained: images that had defects.
        skipped: images without.
        at_border: of these, with defects in the outermost rows and columns alone.
        crowded: of these, with more patches near the direction than the rule can flag.
        not_finite: batches left out for a loss or a gradient that is NaN or infinite.
        blocks: {block: images whose first defects were after it}.
    """

    stopped: str = "steps"
    steps: int = 0
    trained: int = 0
    skipped: int = 0
    at_border: int = 0
    crowded: int = 0
    not_finite: int = 0
    blocks: Counter[int] = field(default_factory=Counter)

    def add(self, seen: BatchCounts) -> None:
        """Count a batch."""
        self.steps += 1
        self.trained += seen.trained
        self.skipped += seen.skipped
        self.at_border += seen.at_border
        self.crowded += seen.crowded
        self.blocks += seen.blocks

    def notes(self, detection: DefectRule, minimum: int) -> list[str]:
        """Say, in sentences, why images had no defects, as far as another option finds some."""
        images, notes = self.trained + self.skipped, []
        if self.crowded:
            notes.append(
                f"{self.crowded} of {images} images have more than "
                f"{100 * detection.largest_share:.1f} % of patches within 45 degrees of the "
                f"direction, so many that none can be {detection.threshold:g} standard deviations "
                "off the mean: take rule='cosine' or rule='mad'"
            )
        if self.at_border:
            notes.append(
                f"{self.at_border} of {images} images have {minimum} defects only with the "
                "outermost rows and columns, which are left out as published: take border=True"
            )
        return notes


def train(
    passing: PassToDefects,
    trained: list[TrainedMatrix],
    images: ImageBatches,
    *,
    steps: int,
    lr: float,
    momentum: float,
    log: TrainingLog,
) -> TrainingCounts:
    """Descend by SGD, as often over the images as the steps take.

    Images without defects are skipped; where a batch has none, nothing moves. Matrices outside of
    the window of a step do not move either.

    Args:
        passing: gives a batch's gradient.
        trained: all matrices.
        images: read again and again.
        steps: batches at most.
        lr: learning rate.
        momentum: of SGD.
        log: notes every step.

    Raises:
        InputError: the training diverged.
    """
    optimizer = torch.optim.SGD([each.epsilon for each in trained], lr=lr, momentum=momentum)
    outcome, hopeless = TrainingCounts("images"), 0
    recent = deque([False] * _RECENT, maxlen=_RECENT)
    for batch in _endless(images):
        seen = _looked_at(passing, batch, may_be_infinite=bool(log.losses))
        outcome.add(seen)
        recent.extend([True] * seen.skipped + [False] * seen.trained)
        moved = _step(optimizer, trained, seen)
        if moved:
            log.step(seen.loss / seen.trained, images=len(batch))
        else:
            log.skip(images=len(batch))
        failed = not moved and seen.skipped != len(batch)
        outcome.not_finite += failed
        hopeless = hopeless + 1 if failed else 0
        if hopeless == _HOPELESS:
            raise InputError(
                f"the loss or its gradient is NaN or infinite for {_HOPELESS} steps in a row: the "
                f"training diverged. Take a smaller learning rate than lr={lr:g}"
            )
        if sum(recent) >= _SKIPPED * _RECENT:
            outcome.stopped = "skipped"
            break
        if outcome.steps == steps:
            outcome.stopped = "steps"
            break
    return outcome


def _looked_at(passing: PassToDefects, batch: Tensor, *, may_be_infinite: bool) -> BatchCounts:
    """Pass a batch; what is NaN or infinite once weights have changed has an infinite loss."""
    try:
        return passing(batch)
    except NonFiniteError:
        if not may_be_infinite:
            raise
        return BatchCounts(batch.new_tensor(torch.inf))


def _endless(images: ImageBatches) -> Iterator[Tensor]:
    while True:
        yield from images
        if not images.reiterable:
            return


def _step(optimizer: Any, trained: list[TrainedMatrix], seen: BatchCounts) -> bool:
    """Take the mean gradient over the images; leave it out where it is not finite."""
    moving, values = [], [seen.loss]
    for each in trained:
        gradient = each.epsilon.grad
        if gradient is not None:
            each.epsilon.grad = gradient / seen.trained
            values.append(each.epsilon.grad)
            moving.append(each)
    move = bool(moving) and bool(torch.stack([each.isfinite().all() for each in values]).all())
    if move:
        optimizer.step()
        for each in moving:
            each.form()
    optimizer.zero_grad()
    return move
