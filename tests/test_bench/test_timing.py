"""Timings long enough to mean something."""

import torch

from ttr_backbones.bench.timing import SHORTEST, seconds_of, times_for


def test_times_for__makes_a_timing_of_the_shortest_length():
    assert times_for(SHORTEST) == times_for(10.0) == 1
    assert times_for(SHORTEST / 4) == 4
    assert times_for(0.0) > 1e6


def test_seconds_of__calls_as_often_as_told_and_gives_the_time_of_one(monkeypatch):
    clock = iter([10.0, 16.0])
    monkeypatch.setattr("ttr_backbones.bench.timing.time.perf_counter", lambda: next(clock))
    calls = []
    assert seconds_of(lambda: calls.append(1), torch.device("cpu"), times=3) == 2.0
    assert len(calls) == 3
