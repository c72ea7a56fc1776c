"""Open-vocabulary segmentation without training; importing this registers the segmentor."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.open_vocabulary.pamr import pamr
from ttr_backbones.open_vocabulary.segmentor import OpenVocabularySegmentor
from ttr_backbones.open_vocabulary.text import classes_file, find_text
from ttr_backbones.text_vectors.check_text_classes import CheckTextClasses

__all__ = ["CheckTextClasses", "OpenVocabularySegmentor", "classes_file", "find_text", "pamr"]
