"""What a run left on the disk: is it whole, and is it what an undisturbed run leaves?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch


def broken_files(work_dir: Path) -> Iterator[str]:
    """Name the checkpoints that cannot be loaded and the log lines that cannot be read."""
    for path in sorted(work_dir.glob("*.pth")):
        if not _passes(torch.load, path, weights_only=True):
            yield f"{path.name} is broken"
    for path in sorted(work_dir.glob("*/vis_data/*.json")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if not _passes(json.loads, line):
                yield f"{path.name}, line {number} is broken: {line!r}"


def differences(checkpoint: Path, other: Path) -> Iterator[str]:
    """Name what is not the same, bit for bit, in the training state of two checkpoints."""
    one, two = (torch.load(path, weights_only=True) for path in (checkpoint, other))
    for part in ("state_dict", "optimizer", "param_schedulers", "random_state"):
        yield from _differing(one[part], two[part], part)
    for name, history in one["message_hub"]["log_scalars"].items():
        if name.startswith("train/loss"):
            yield from _differing(history, two["message_hub"]["log_scalars"][name], name)


def _passes(read: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    try:
        read(*args, **kwargs)
    except Exception:  # noqa: BLE001 -- whatever it is, it cannot be read
        return False
    return True


def _differing(one: Any, two: Any, name: str) -> Iterator[str]:
    if isinstance(one, torch.Tensor):
        if not torch.equal(one, two):
            yield name
    elif isinstance(one, Mapping):
        if one.keys() != two.keys():
            yield name
            return
        for key in one:
            yield from _differing(one[key], two[key], f"{name}.{key}")
    elif isinstance(one, list | tuple):
        if len(one) != len(two):
            yield name
            return
        for index, pair in enumerate(zip(one, two, strict=True)):
            yield from _differing(*pair, f"{name}.{index}")
    elif one != two:
        yield name
