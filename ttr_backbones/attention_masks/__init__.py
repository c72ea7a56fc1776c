"""Attention as a mask of the foreground; importing this registers the model."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.attention_masks.foreground import foreground
from ttr_backbones.attention_masks.model import AttentionForeground

__all__ = ["AttentionForeground", "foreground"]
