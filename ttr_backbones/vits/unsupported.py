"""Vision Transformers of timm that test-time registers have no place in, and why."""

from __future__ import annotations

_REASONS = {
    "Beit": (
        "its relative position bias is a table for one size at a time, which images of other sizes "
        "and a register would both have to be written into"
    ),
    "NaFlexVit": (
        "it takes padded sequences of patches of several sizes with a mask of what is padding. "
        "Leave use_naflex, TIMM_USE_NAFLEX and TIMM_USE_NAFLEXVIT out: the same weights are there "
        "as a model for images"
    ),
}


def unsupported_reason(kind: str) -> str:
    """Return the reason why a class is refused, after a colon; '' for one that is no ViT."""
    return f": {_REASONS[kind]}" if kind in _REASONS else ""
