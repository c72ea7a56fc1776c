"""Which heads are trained: every combination of the values of a few axes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ttr_backbones.comma_list import comma_parts
from ttr_backbones.errors import InputError, unknown_name


@dataclass(frozen=True)
class Probe:
    """One head: the values in which it differs from the config; None keeps the config's.

    Args:
        lr: learning rate.
        blocks: blocks whose maps it takes, side by side; negative ones count back.
        norm: whether the model's final norm is applied to them.
        mean_patch: whether a classifier also takes the mean of the last block's patches.
        seed: of its first weights. The order of the images is the run's, for all heads.
        name: tells it apart, also as the name of a folder.
    """

    lr: float | None = None
    blocks: tuple[int, ...] | None = None
    norm: bool | None = None
    mean_patch: bool | None = None
    seed: int | None = None
    name: str = "config"


def parse_grid(axes: Sequence[str]) -> list[Probe]:
    """Read axes as the command line has them: `lr=1e-3,1e-2 block=-1,8+11 norm=on,off seed=0,1`.

    Returns:
        Every combination, the last axis fastest.

    Raises:
        InputError: an axis that does not exist or stands twice, a value that cannot be read.
    """
    values: dict[str, list[tuple[str, Any]]] = {}
    for axis in axes:
        name, _, listed = axis.partition("=")
        if name not in _AXES:
            raise InputError(f"--probe-grid {axis}: {unknown_name('axis', name, _AXES)}")
        if name in values:
            raise InputError(f"--probe-grid names the axis {name} twice: put its values together")
        values[name] = _values(name, listed)
    points = itertools.product(*values.values())
    return [_probe(dict(zip(values, point, strict=True))) for point in points]


def _probe(point: dict[str, tuple[str, Any]]) -> Probe:
    fields = {_AXES[axis].field: value for axis, (_, value) in point.items()}
    return Probe(**fields, name="_".join(f"{axis}{text}" for axis, (text, _) in point.items()))


def _values(axis: str, listed: str) -> list[tuple[str, Any]]:
    read = _AXES[axis].read
    try:
        values = [(part, read(part)) for part in comma_parts(listed)]
    except (ValueError, KeyError):
        raise InputError(
            f"--probe-grid {axis}={listed}: expected {_AXES[axis].expected}, separated by commas"
        ) from None
    if len({value for _, value in values}) < len(values):
        raise InputError(f"--probe-grid {axis}={listed}: a value stands there twice")
    return values


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < float("inf"):
        raise ValueError(text)
    return rate


def _seed(text: str) -> int:
    if int(text) < 0:
        raise ValueError(text)
    return int(text)


@dataclass(frozen=True)
class _Axis:
    field: str
    read: Callable[[str], Any]
    expected: str


_SWITCH = {"on": True, "off": False}.__getitem__
_AXES = {
    "lr": _Axis("lr", _rate, "learning rates above 0, as 1e-3"),
    "block": _Axis(
        "blocks", lambda text: tuple(map(int, text.split("+"))), "blocks, as -1 or 2+5+8+11"
    ),
    "norm": _Axis("norm", _SWITCH, "on or off"),
    "patch": _Axis("mean_patch", _SWITCH, "on or off"),
    "seed": _Axis("seed", _seed, "whole numbers from 0 on"),
}
