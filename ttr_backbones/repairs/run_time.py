"""What repairs cost per image at run time, beside the model as it is, in one and the same run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median

import torch
from torch import Tensor, nn

from ttr_backbones.vits.family import family_of

ROUNDS = 5


@torch.no_grad()
def run_time_ratios(
    models: Mapping[str, nn.Module], batch: Tensor, *, rounds: int = ROUNDS
) -> dict[str, float]:
    """Time the models' own passes in turn, and divide by the first model's time.

    A ratio compares two runs of one round, so that what slows the machine for a while slows both;
    the order rotates; the median over the rounds counts. (`ttrb bench` measures at length.)

    Args:
        models: by name; the first is the one to compare with.
        batch: normalised images [B, 3, H, W] on the models' device.
        rounds: of all models, after one that is not timed.
    """
    names = list(models)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        start = turn % len(names)
        for name in [*names[start:], *names[:start]]:
            begin = _now(batch.device)
            family_of(models[name]).final_tokens(models[name], batch)
            seconds[name].append(_now(batch.device) - begin)
    first = seconds[names[0]][1:]
    return {
        name: median(a / b for a, b in zip(each[1:], first, strict=True))
        for name, each in seconds.items()
    }


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
