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

Log = Callable[[str], None]
Key = tuple[str, str, int]  # name, variant, batch size


def silent(message: str) -> None:
    """Report nothing."""
    del message


def measure(
    part: str,
    contestants: Sequence[Contestant],
    device: torch.device,
    *,
    rounds: int,
    rest: float = 0.0,
    log: Log = silent,
) -> list[BenchRow]:
    """Time all contestants, and give a row for each.

    Args:
        part: name of the part that they belong to.
        contestants: they run on `device`, in this order in the first round.
        device: that is waited for.
        rounds: medians are over these.
        rest: seconds to wait before each timing.
        log: called with lines of progress.

    Raises:
        InputError: no round to run.
    """
    if rounds < 1:
        raise InputError(f"rounds={rounds}: expected at least 1")
    first: dict[Key, float] = {}
    times: dict[Key, int] = {}
    for contestant in contestants:
        variant = f", {contestant.variant}" if contestant.variant else ""
        log(f"{part}: first run of {contestant.name}{variant}, batch of {contestant.batch_size}")
        first[_key(contestant)] = seconds_of(contestant.run, device)
        times[_key(contestant)] = times_for(seconds_of(contestant.run, device))
    seconds: dict[Key, list[float]] = {_key(contestant): [] for contestant in contestants}
    for index in range(rounds):
        log(f"{part}: round {index + 1} of {rounds}, {len(contestants)} contestants")
        turn = index % len(contestants)
        for contestant in [*contestants[turn:], *contestants[:turn]]:
            time.sleep(rest)
            if contestant.prepare is not None:
                contestant.prepare()
            seconds[_key(contestant)].append(
                seconds_of(contestant.run, device, times[_key(contestant)])
            )
    log(f"{part}: operations and memory")
    return [_row(part, contestant, first[_key(contestant)], seconds) for contestant in contestants]


def _key(contestant: Contestant) -> Key:
    return contestant.name, contestant.variant, contestant.batch_size


def _row(
    part: str, contestant: Contestant, first: float, seconds: Mapping[Key, list[float]]
) -> BenchRow:
    times = seconds[_key(contestant)]
    taken, cost = median(times), contestant.cost()
    ratio = None
    if contestant.against is not None:
        ratio = paired(
            times, seconds[contestant.against, contestant.variant, contestant.batch_size]
        )
    return BenchRow(
        part=part,
        contestant=contestant.name,
        variant=contestant.variant,
        batch_size=contestant.batch_size,
        images_per_second=contestant.images / taken,
        seconds=taken * contestant.batch_size / contestant.images,
        first_seconds=first,
        against=contestant.against,
        ratio=ratio,
        goal=contestant.goal,
        tokens_per_second=contestant.tokens / taken if contestant.tokens else None,
        flops_per_second=cost.flops / taken if cost.flops else None,
        number=contestant.number,
        peak_bytes=cost.peak,
    )


def paired(times: Sequence[float], other: Sequence[float]) -> Ratio:
    """Divide the times of one contestant by those of another, round by round."""
    ratios = [a / b for a, b in zip(times, other, strict=True)]
    if len(ratios) == 1:
        return Ratio(ratios[0], ratios[0], ratios[0])
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return Ratio(middle, low, high)
