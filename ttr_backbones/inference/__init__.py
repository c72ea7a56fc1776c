"""Models and backbones on your own images: `Inferencer` predicts, `SavedFeatures` reads maps.

A client of everything else, imported by nothing but the command line.
"""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.inference.inferencer import Inferencer
from ttr_backbones.inference.shards import SavedFeatures
from ttr_backbones.inference.write_features import write_features
from ttr_backbones.tasks import ClassMap, DepthMap, FoundObject, Prediction

__all__ = [
    "ClassMap",
    "DepthMap",
    "FoundObject",
    "Inferencer",
    "Prediction",
    "SavedFeatures",
    "write_features",
]
