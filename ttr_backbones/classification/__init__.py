"""Classification of whole images on frozen features; importing this registers the models."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.classification.check_classes import CheckClasses
from ttr_backbones.classification.classifier import ImageClassifier
from ttr_backbones.classification.knn import nearest, voted_classes
from ttr_backbones.classification.knn_classifier import KnnClassifier
from ttr_backbones.classification.knn_loop import KnnTestLoop

__all__ = [
    "CheckClasses",
    "ImageClassifier",
    "KnnClassifier",
    "KnnTestLoop",
    "nearest",
    "voted_classes",
]
