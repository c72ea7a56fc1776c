"""The pointing game of vision-language models on COCO; importing this registers all of it.

A config names it in `custom_imports`, as `configs/vlm/pointing_coco_val2017.py` does.
"""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.pointing.dataset import COCOPointing, PackPointing
from ttr_backbones.pointing.metric import PointingMetric
from ttr_backbones.pointing.model import PointingVLM
from ttr_backbones.pointing.task import PointedAt, PointingGame, PointingVisualizer
from ttr_backbones.tasks import register_task

register_task(PointingGame)

__all__ = [
    "COCOPointing",
    "PackPointing",
    "PointedAt",
    "PointingGame",
    "PointingMetric",
    "PointingVLM",
    "PointingVisualizer",
]
