"""Scores that mmseg lacks; importing this registers the metrics in mmseg's METRICS."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.evaluation.accuracy_metric import AccuracyMetric, KnnMetric
from ttr_backbones.evaluation.corloc import box_iou, corloc, corloc_hits
from ttr_backbones.evaluation.corloc_metric import CorLocMetric
from ttr_backbones.evaluation.depth_errors import depth_errors, eigen_mask, garg_mask
from ttr_backbones.evaluation.depth_metric import DepthMetric
from ttr_backbones.evaluation.foreground_metric import ForegroundMetric
from ttr_backbones.evaluation.foreground_scores import average_precision, foreground_scores
from ttr_backbones.evaluation.named_results import (
    NamedIoUMetric,
    NamedVisualizationHook,
    NameResults,
)
from ttr_backbones.evaluation.typographic_metric import TypographicMetric

__all__ = [
    "AccuracyMetric",
    "CorLocMetric",
    "DepthMetric",
    "ForegroundMetric",
    "KnnMetric",
    "NameResults",
    "NamedIoUMetric",
    "NamedVisualizationHook",
    "TypographicMetric",
    "average_precision",
    "box_iou",
    "corloc",
    "corloc_hits",
    "depth_errors",
    "eigen_mask",
    "foreground_scores",
    "garg_mask",
]
