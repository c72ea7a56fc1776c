"""What a step of the check is, what it gets, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

    from gpu_steps.scale import Scale

Fact = dict[str, Any]
"""what, value, text, goal (in words) and met; the last two are None where there is no goal."""


@dataclass(frozen=True)
class Goal:
    """A number that a value is held against.

    Args:
        limit: the number.
        kind: how the value has to lie to it.
        on_cpu: judged on a CPU too; the others are speeds of a GPU.
    """

    limit: float
    kind: Literal["at most", "at least", "exactly"]
    on_cpu: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}"

    def met(self, value: float) -> bool:
        """Whether `value` lies as it should; NaN never does."""
        if self.kind == "exactly":
            return value == self.limit
        return value <= self.limit if self.kind == "at most" else value >= self.limit


class NotPossibleError(Exception):
    """A step cannot be done here for a reason that is no fault; it says which."""


@dataclass
class Check:
    """What a step works with.

    Args:
        device: to run on.
        scale: the sizes for it.
        folder: an empty folder of this step.
        shared: folder with real weights, if there is one.
        goals: of this step, by name.
        write: takes each fact as soon as it is known.
    """

    device: torch.device
    scale: Scale
    folder: Path
    shared: Path | None
    goals: Mapping[str, Goal]
    write: Callable[[Fact], None]

    def record(
        self, what: str, value: Any, text: str | None = None, goal: str | None = None
    ) -> None:
        """Record one fact.

        Args:
            what: was measured or looked at.
            value: the number, or anything that JSON takes.
            text: the value as the table shows it; by default as it is.
            goal: name of the goal that it is held against.
        """
        held = self.goals[goal] if goal is not None else None
        if held is not None and self.device.type == "cpu" and not held.on_cpu:
            held = None
        shown = text if text is not None else _shown(value)
        met = None if held is None else held.met(value)
        words = None if held is None else str(held)
        self.write({"what": what, "value": value, "text": shown, "goal": words, "met": met})


@dataclass(frozen=True)
class Step:
    """One step of the check.

    Args:
        name: as in the table and in `--steps`.
        run: does it and records what it finds.
        seconds: that it may take of a check of ten minutes, see `gpu_check`.
        goals: what its numbers are held against.
    """

    name: str
    run: Callable[[Check], None]
    seconds: float
    goals: Mapping[str, Goal] = field(default_factory=dict)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
