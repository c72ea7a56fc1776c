"""Depth losses for OpenMMLab configs; importing this registers them in mmseg's MODELS."""

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.losses.gradient import GradientLoss  # noqa: E402
from ttr_backbones.losses.sig import SigLoss  # noqa: E402

__all__ = ["GradientLoss", "SigLoss"]
