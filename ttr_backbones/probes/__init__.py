"""Many heads on one frozen backbone, trained in one pass; importing this registers the parts."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.probes.evaluator import ProbeEvaluator
from ttr_backbones.probes.heads import ProbeHeads
from ttr_backbones.probes.hook import KeepProbes
from ttr_backbones.probes.models import ProbeClassifier, ProbeDepthEstimator, ProbeSegmentor
from ttr_backbones.probes.optimizer import ProbeOptimWrapper, ProbeOptimWrapperConstructor

__all__ = [
    "KeepProbes",
    "ProbeClassifier",
    "ProbeDepthEstimator",
    "ProbeEvaluator",
    "ProbeHeads",
    "ProbeOptimWrapper",
    "ProbeOptimWrapperConstructor",
    "ProbeSegmentor",
]
