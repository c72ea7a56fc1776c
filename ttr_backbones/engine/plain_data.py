"""Checkpoint contents as plain data, which `torch.load(weights_only=True)` accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# Histories serve only the smoothing of logged numbers, whose windows are far shorter; a full one
# would outgrow the head's weights in a long run.
_KEPT_HISTORY = 1000


class NotPlainError(TypeError):
    """A value that has no plain form."""


def to_plain(value: Any) -> Any:
    """Return `value` made of dicts, lists, tuples, tensors, numbers, strings and None only."""
    if isinstance(value, np.generic):  # before float, which np.float64 is too
        return value.item()
    if value is None or isinstance(value, str | bytes | bool | int | float | torch.Tensor):
        return value
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [to_plain(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    raise NotPlainError(f"{type(value).__qualname__} of {type(value).__module__}")


def history_to_plain(history: HistoryBuffer) -> dict[str, Any]:
    """Return the latest entries of a HistoryBuffer as tensors."""
    values, counts = history.data
    return {
        "values": torch.from_numpy(np.asarray(values[-_KEPT_HISTORY:], dtype=np.float64)),
        "counts": torch.from_numpy(np.asarray(counts[-_KEPT_HISTORY:], dtype=np.float64)),
        "max_length": history.max_length,
    }


def history_from_plain(plain: dict[str, Any]) -> HistoryBuffer:
    """Undo `history_to_plain`."""
    return HistoryBuffer(
        plain["values"].cpu().numpy(), plain["counts"].cpu().numpy(), plain["max_length"]
    )
