"""Weights that are no numbers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ttr_backbones.errors import InputError


def require_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise InputError if a value is inf or NaN; the message names the tensors and counts.

    Args:
        tensors: floating-point ones are read once, others are left out.
        source: how to name where they are from.
    """
    bad = {name: tensor for name, tensor in tensors.items() if not _is_finite(tensor)}
    if bad:
        counts = [f"{n} ({int((~t.isfinite()).sum())} of {t.numel()})" for n, t in bad.items()]
        raise InputError(
            f"{source} has values that are inf or NaN in {len(bad)} of {len(tensors)} tensors: "
            f"{', '.join(counts[:5])}{', ...' if len(counts) > 5 else ''}. The file is damaged, or "
            "its training diverged: fetch it again, or take an earlier checkpoint"
        )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel() or tensor.is_meta:
        return True
    # Both are NaN if any value is; no mask as large as the tensor is made.
    least, largest = tensor.detach().aminmax()
    return bool(least.isfinite() & largest.isfinite())
