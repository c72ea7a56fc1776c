"""Vectors that stand for classes: of texts, or rows of a model's own classifier."""

from ttr_backbones.text_vectors.classes_file import read_classes
from ttr_backbones.text_vectors.classifier_rows import classifier_vectors
from ttr_backbones.text_vectors.vectors import TextVectors

__all__ = ["TextVectors", "classifier_vectors", "read_classes"]
