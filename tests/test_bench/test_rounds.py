"""Contestants in turn: who runs when, and what is divided by what."""

import pytest
import torch

from ttr_backbones.bench import rounds as rounds_module
from ttr_backbones.bench.rounds import measure, paired
from ttr_backbones.bench.row import Contestant, Cost, Ratio
from ttr_backbones.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture
def timed_once():
    """Not here, where it is seen how often a run is repeated."""


@pytest.fixture
def stopwatch(monkeypatch):
    """Make the time of a call what the call returns, in seconds; log who ran."""
    log = []

    def seconds_of(run, device, times=1):
        log.append((run.__name__, times))
        return run()

    monkeypatch.setattr(rounds_module, "seconds_of", seconds_of)
    return log


def contestant(name, seconds, **kwargs):
    times = iter(seconds)

    def run():
        return next(times)

    run.__name__ = name
    return Contestant(name, run, images=8, batch_size=4, **kwargs)


def test_measure__ratios_compare_runs_of_one_round(stopwatch):
    """The machine is three times as slow in the second round: the ratios do not see it."""
    one = contestant("one", [9.0, 9.0, 1.0, 3.0, 1.0])
    other = contestant("other", [5.0, 7.0, 2.0, 6.0, 2.5], against="one", goal=2.0, tokens=80)
    first, second = measure("part", [one, other], CPU, rounds=3)
    assert first.ratio is None
    assert second.ratio == Ratio(2.0, 2.0, 2.25)  # of 2, 2 and 2.5
    assert second.met
    assert (first.first_seconds, second.first_seconds) == (9.0, 5.0)
    assert (first.images_per_second, second.images_per_second) == (8.0, 3.2)
    assert (first.seconds, second.seconds) == (0.5, 1.25), "of a batch of 4, a run has 8 images"
    assert (first.tokens_per_second, second.tokens_per_second) == (None, 32.0)


def test_measure__rotates_the_order(stopwatch):
    names = ["a", "b", "c"]
    measure("part", [contestant(name, [1.0] * 5) for name in names], CPU, rounds=3)
    ran = "".join(name for name, _ in stopwatch)
    assert ran == "aabbcc" + "abc" + "bca" + "cab"


def test_measure__repeats_what_is_short_and_prepares_untimed(stopwatch):
    prepared = []
    short = contestant("short", [1.0, 0.01, 0.01, 0.01], prepare=lambda: prepared.append(1))
    measure("part", [short], CPU, rounds=2)
    assert [times for _, times in stopwatch] == [1, 1, 5, 5]
    assert len(prepared) == 2


def test_measure__compares_within_a_variant_and_a_batch_size(stopwatch):
    contestants = [
        contestant("plain", [1, 1, 2.0], variant="eager", against="plain"),
        contestant("plain", [1, 1, 4.0], variant="bf16", against="plain"),
        contestant("ours", [1, 1, 8.0], variant="bf16", against="plain"),
    ]
    rows = measure("part", contestants, CPU, rounds=1)
    assert [row.ratio.median for row in rows] == [1.0, 1.0, 2.0]


def test_measure__counts_operations_per_second(stopwatch):
    one = contestant("a", [1, 1, 2.0], cost=lambda: Cost(flops=600, peak=5000), number="bf16")
    (row,) = measure("part", [one], CPU, rounds=1)
    assert row.flops_per_second == 300.0
    assert row.share({"fp32": 1.0, "bf16": 1200.0}) == 0.25
    assert row.share({}) is None
    assert row.peak_bytes == 5000


def test_measure__needs_a_round():
    with pytest.raises(InputError, match="rounds=0: expected at least 1"):
        measure("part", [], CPU, rounds=0)


def test_paired__one_round_has_no_spread():
    assert paired([3.0], [2.0]) == Ratio(1.5, 1.5, 1.5)
