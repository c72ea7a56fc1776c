"""Wall time of a call, on a GPU with its kernels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

SHORTEST = 0.05  # seconds; a clock and a scheduler disturb what takes less by per cents


def seconds_of(run: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """Call `run` so many times, wait for what it started on `device`; the time of one call."""
    _wait(device)
    start = time.perf_counter()
    for _ in range(times):
        run()
    _wait(device)
    return (time.perf_counter() - start) / times


def times_for(seconds: float) -> int:
    """How many calls of so many seconds make one timing that is not too short."""
    return max(1, math.ceil(SHORTEST / max(seconds, 1e-9)))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
