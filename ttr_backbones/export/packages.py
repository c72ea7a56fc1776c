"""What exporting needs and a plain installation does not have."""

from __future__ import annotations

import re
from importlib import metadata, util

from ttr_backbones.errors import InputError

PACKAGES = {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".pt2": ()}
"""What each kind of file needs besides torch, by suffix."""
_TORCH = (2, 13)  # the oldest tried that exports a ViT with register tokens whole; 2.9 does not


def missing_packages_reason(suffix: str) -> str | None:
    """Say why a file of this kind cannot be written here and what to do; None if it can."""
    version = metadata.version("torch")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _TORCH:
        needed = ".".join(map(str, _TORCH))
        return f'needs torch {needed} or newer, this is {version}: pip install "torch>={needed}"'
    missing = [name for name in PACKAGES[suffix] if util.find_spec(name) is None]
    if missing:
        return (
            f"needs packages that are not installed ({', '.join(missing)}): pip install "
            '"ttr_backbones[export]". A .pt2 file needs torch only'
        )
    return None


def require_packages(suffix: str) -> None:
    """Check that a file of this kind can be written and compared here.

    Raises:
        InputError: torch is too old, or packages are missing.
    """
    reason = missing_packages_reason(suffix)
    if reason is not None:
        raise InputError(f"writing {suffix} {reason}")
