"""Classes by the vectors of their names, without training; importing this registers the model."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.text_vectors.check_text_classes import CheckTextClasses
from ttr_backbones.zero_shot.classifier import ZeroShotClassifier

__all__ = ["CheckTextClasses", "ZeroShotClassifier"]
