"""Heads for OpenMMLab configs; importing this registers them in mmseg's MODELS."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.heads.dpt_depth import DPTDepthHead
from ttr_backbones.heads.linear_class import LinearClassHead
from ttr_backbones.heads.linear_depth import LinearDepthHead
from ttr_backbones.heads.linear_seg import LinearSegHead

__all__ = ["DPTDepthHead", "LinearClassHead", "LinearDepthHead", "LinearSegHead"]
