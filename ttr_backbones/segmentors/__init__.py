"""Whole models for OpenMMLab configs; importing this registers them in mmseg's MODELS."""

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.segmentors.flip_depth import FlipDepthEstimator  # noqa: E402

__all__ = ["FlipDepthEstimator"]
