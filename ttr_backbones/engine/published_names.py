"""Files of heads whose publishers gave the tensors other names than a model here has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LINEAR = {"weight", "bias"}


def renamed(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a file's tensors by the names of a model here, or None if they have these already.

    DINOv2's classifiers of ImageNet (`*_linear_head.pth`, `*_linear4_head.pth`) are the state of a
    bare linear layer: `weight` [1000, 2 C or 5 C] and `bias`.
    """
    if set(state) == _LINEAR and getattr(state["weight"], "ndim", 0) == 2:
        return {f"decode_head.linear.{name}": tensor for name, tensor in state.items()}
    return None
