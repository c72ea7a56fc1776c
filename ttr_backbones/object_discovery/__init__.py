"""Object discovery: one box per image from the features of a ViT, without any training.

Importing this registers `ObjectDiscoverer` in mmseg's MODELS.
"""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.object_discovery.detections import Detection, Detections
from ttr_backbones.object_discovery.lost import lost, lost_batch
from ttr_backbones.object_discovery.methods import METHODS, build_method
from ttr_backbones.object_discovery.model import NoModelWrapper, ObjectDiscoverer
from ttr_backbones.object_discovery.preprocessor import EachSizePreProcessor
from ttr_backbones.object_discovery.tokencut import tokencut, tokencut_batch

__all__ = [
    "METHODS",
    "Detection",
    "Detections",
    "EachSizePreProcessor",
    "NoModelWrapper",
    "ObjectDiscoverer",
    "build_method",
    "lost",
    "lost_batch",
    "tokencut",
    "tokencut_batch",
]
