"""`TrainingLog`: steps and losses of a fit that trains, shown meanwhile and kept afterwards."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

from torch import Tensor

from ttr_backbones.errors import InputError

OnStep = Callable[[int, int, float], object]
"""Called after every step with the steps done, the steps in all and the loss."""

_POINTS = 200  # of the loss curve that is kept


class TrainingLog:
    """Steps, losses and images of one training; `fit_repair` gives it to a fit that trains.

    log.start(steps=300, parameters=49_152)
    for step in range(300): ...; log.step(loss, images=8)

    Attributes:
        on_step: called after every step that trained, if given.
        steps: planned.
        parameters: numbers that are trained.
        ran: steps so far, also those that trained nothing.
        losses: one per step that trained.
        numbers: which step each loss is of.
        images: seen so far, one that came twice counts twice.
    """

    def __init__(self, on_step: OnStep | None = None) -> None:
        self.on_step = on_step
        self.steps = self.parameters = self.images = self.ran = 0
        self.losses: list[float] = []
        self.numbers: list[int] = []

    def start(self, *, steps: int, parameters: int) -> None:
        """Say how long it will be and how many numbers it trains."""
        if steps < 1:
            raise InputError(f"steps={steps}: expected at least one step of training")
        self.steps, self.parameters = steps, parameters

    def step(self, loss: float | Tensor, *, images: int) -> None:
        """Note a step.

        Args:
            loss: a number, or a tensor of one; not finite ones are an error, for nothing that is
                trained on can be trusted any more.
            images: looked at.

        Raises:
            InputError: the loss is NaN or infinite.
        """
        value = float(loss)
        if not abs(value) < float("inf"):
            raise InputError(
                f"the loss is {value} at step {self.ran + 1} of {self.steps}: the training "
                "diverged. Take a smaller learning rate (lr)"
            )
        self.skip(images=images)
        self.losses.append(value)
        self.numbers.append(self.ran)
        if self.on_step is not None:
            self.on_step(self.ran, self.steps, value)

    def skip(self, *, images: int) -> None:
        """Note a step that trained nothing, as on images without defects.

        Args:
            images: looked at.
        """
        self.ran += 1
        self.images += images

    @property
    def facts(self) -> dict[str, Any]:
        """Plain data for an artifact's provenance.

        `steps` are those that ran, `steps_trained` those of them that trained, where not all did.

        `loss` is [[step, loss], ...], of a long training means over equal stretches of steps, each
        at its last step.
        """
        done = len(self.losses)
        ends = sorted({(i + 1) * done // _POINTS for i in range(_POINTS)} - {0})
        stretches = zip([0, *ends], ends, strict=False)
        trained = {} if done == self.ran else {"steps_trained": done}
        return {
            "steps": self.ran,
            **trained,
            "steps_planned": self.steps,
            "images_seen": self.images,
            "parameters": self.parameters,
            "loss": [
                [self.numbers[end - 1], float(f"{fmean(self.losses[first:end]):.6g}")]
                for first, end in stretches
            ],
        }
