"""What is measured, and the rows of the one table in which all parts of the bench end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

EAGER = "eager"


def patch_tokens(count: int, size: Sequence[int], patch: Sequence[int]) -> int:
    """Patches of so many images of H x W pixels, the last ones padded."""
    return count * math.ceil(size[0] / patch[0]) * math.ceil(size[1] / patch[1])


@dataclass(frozen=True)
class Cost:
    """What one run of a contestant takes besides time.

    Args:
        flops: floating point operations of its matrix products; None where they were not counted.
        peak: bytes of all tensors that live at once, weights and inputs among them; None where it
            is not known (a compiled model on a CPU).
    """

    flops: int | None = None
    peak: int | None = None


@dataclass(frozen=True)
class Contestant:
    """One way to do the work of a part.

    Args:
        name: as in the table.
        run: does it once.
        images: in one run.
        batch_size: images at a time.
        variant: how it is run, see `variants.VARIANTS`.
        against: name of the contestant, of the same variant, that its time is divided by.
        goal: the most that this ratio may be.
        tokens: patch tokens in one run; None where there are none.
        cost: tells what else one run takes, by another run, which is not timed.
        number: in which numbers its matrix products are, "fp32" or "bf16".
        prepare: is called before each timing, untimed.
    """

    name: str
    run: Callable[[], object]
    images: int
    batch_size: int
    variant: str = EAGER
    against: str | None = None
    goal: float | None = None
    tokens: int | None = None
    cost: Callable[[], Cost] = Cost
    number: str = "fp32"
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True)
class Ratio:
    """Time over that of another contestant in the same round: median and quartiles of the rounds.

    Args:
        median: of all rounds.
        low: first quartile.
        high: third quartile.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class BenchRow:
    """One line of the table; the fields of `Contestant`, and what was measured.

    Args:
        part: of the bench.
        contestant: its name.
        variant: how it was run.
        batch_size: images at a time.
        images_per_second: median over the rounds.
        seconds: per batch, median over the rounds.
        first_seconds: the very first run, in which a compiled model compiles.
        against: whose time the ratio is over.
        ratio: None where there is nothing to compare with.
        goal: the most that the ratio may be; None where there is no goal.
        tokens_per_second: patch tokens, median over the rounds.
        flops_per_second: counted operations of the matrix products over the median time.
        number: in which numbers they are.
        peak_bytes: see `Cost`.
    """

    part: str
    contestant: str
    variant: str
    batch_size: int
    images_per_second: float
    seconds: float
    first_seconds: float
    against: str | None = None
    ratio: Ratio | None = None
    goal: float | None = None
    tokens_per_second: float | None = None
    flops_per_second: float | None = None
    number: str = "fp32"
    peak_bytes: int | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio.median <= self.goal

    def share(self, rates: Mapping[str, float]) -> float | None:
        """Share of a machine's rate of matrix products, see `Machine`; None where not counted."""
        rate = rates.get(self.number)
        return self.flops_per_second / rate if self.flops_per_second and rate else None

    def as_dict(self, rates: Mapping[str, float]) -> dict[str, Any]:
        """All fields, `met` and `share`, as JSON takes them."""
        return {**asdict(self), "met": self.met, "share": self.share(rates)}


@dataclass(frozen=True)
class Measured:
    """What one part of the bench gives.

    Args:
        part: its name.
        setting: everything that its numbers depend on, the machine aside.
        rows: of the table.
        notes: sentences below the table.
        facts: more numbers for the JSON file.
        lines: a table of its own, where the rows of the common one do not fit.
    """

    part: str
    setting: Mapping[str, Any]
    rows: list[BenchRow]
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
