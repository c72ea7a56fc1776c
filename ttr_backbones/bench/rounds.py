"""Contestants run in turn, round after round.

A ratio compares two runs of the same round, so that what slows the machine for a while slows both.
The order is rotated from round to round, so that nobody always runs behind the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles

import torch

from ttr_backbones.bench.row import BenchRow, Contestant, Ratio
from ttr_backbones.bench.timing import seconds_of, times_for
from ttr_backbones.errors import InputError

Tell = Callable[[str], None]
Key = tuple[str, str, int]  # name, variant, batch size


def silent(message: str) -> None:
    """Tell nobody."""
    del message


def measure(
    part: str,
    contestants: Sequence[Contestant],
    device: torch.device,
    *,
    rounds: int,
    rest: float = 0.0,
    tell: Tell = silent,
) -> list[BenchRow]:
    """Time all contestants, and give a row for each.

    Args:
        part: name of the part that they belong to.
        contestants: they run on `device`, in this order in the first round.
        device: that is waited for.
        rounds: medians are over these.
        rest: seconds to wait before each timing.
        tell: gets a line about what is going on.

    Raises:
        InputError: no round to run.
    """
    if rounds < 1:
        raise InputError(f"rounds={rounds}: expected at least 1")
    first: dict[Key, float] = {}
    times: dict[Key, int] = {}
    for one in contestants:
        variant = f", {one.variant}" if one.variant else ""
        tell(f"{part}: first run of {one.name}{variant}, batch of {one.batch_size}")
        first[_key(one)] = seconds_of(one.run, device)
        times[_key(one)] = times_for(seconds_of(one.run, device))
    seconds: dict[Key, list[float]] = {_key(one): [] for one in contestants}
    for index in range(rounds):
        tell(f"{part}: round {index + 1} of {rounds}, {len(contestants)} contestants")
        turn = index % len(contestants)
        for one in [*contestants[turn:], *contestants[:turn]]:
            time.sleep(rest)
            if one.prepare is not None:
                one.prepare()
            seconds[_key(one)].append(seconds_of(one.run, device, times[_key(one)]))
    tell(f"{part}: operations and memory")
    return [_row(part, one, first[_key(one)], seconds) for one in contestants]


def _key(one: Contestant) -> Key:
    return one.name, one.variant, one.batch_size


def _row(part: str, one: Contestant, first: float, seconds: Mapping[Key, list[float]]) -> BenchRow:
    times = seconds[_key(one)]
    taken, cost = median(times), one.cost()
    ratio = None
    if one.against is not None:
        ratio = paired(times, seconds[one.against, one.variant, one.batch_size])
    return BenchRow(
        part=part,
        contestant=one.name,
        variant=one.variant,
        batch_size=one.batch_size,
        images_per_second=one.images / taken,
        seconds=taken * one.batch_size / one.images,
        first_seconds=first,
        against=one.against,
        ratio=ratio,
        goal=one.goal,
        tokens_per_second=one.tokens / taken if one.tokens else None,
        flops_per_second=cost.flops / taken if cost.flops else None,
        number=one.number,
        peak_bytes=cost.peak,
    )


def paired(one: Sequence[float], other: Sequence[float]) -> Ratio:
    """Divide the times of one contestant by those of another, round by round."""
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    if len(ratios) == 1:
        return Ratio(ratios[0], ratios[0], ratios[0])
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return Ratio(middle, low, high)
