"""Names of timm that may be meant where one is not known."""

from __future__ import annotations

# Modules of timm with Vision Transformers; the models of `beit` are refused with the reason.
_MODULES = ("vision_transformer", "deit", "eva", "beit")


def vit_names() -> list[str]:
    """Return the names of all Vision Transformers of timm, without tags."""
    import timm  # slow to import, and only a wrong name needs it

    return [name for module in _MODULES for name in timm.list_models(module=module)]
