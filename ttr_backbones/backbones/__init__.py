"""Backbones for OpenMMLab configs; importing this registers them in mmseg's MODELS."""

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.backbones.timm_vit import TimmViT  # noqa: E402
from ttr_backbones.vits.create import create_vit  # noqa: E402

__all__ = ["TimmViT", "create_vit"]
