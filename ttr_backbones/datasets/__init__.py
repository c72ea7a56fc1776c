"""Data sets and the transforms that mmseg lacks; importing this registers them."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.datasets.loading import LoadImage, LoadSegMask

__all__ = ["LoadImage", "LoadSegMask"]
