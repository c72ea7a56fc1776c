"""Importing open_clip, which is an extra."""

from __future__ import annotations

from typing import Any

from ttr_backbones.errors import InputError


def require_open_clip() -> Any:
    """Import open_clip.

    Raises:
        InputError: it is not installed.
    """
    try:
        import open_clip
    except ImportError as error:
        raise InputError(
            "text towers, their tokenizers and ImageNet's names and templates come from open_clip, "
            'which is not installed: pip install -e ".[clip]" (or pip install open_clip_torch)'
        ) from error
    return open_clip
