"""Vision-language models: which patches does an answer look at, without and with a register."""

from ttr_backbones.vlm.attribution import Attribution, attribute
from ttr_backbones.vlm.load import VLM, load_vlm
from ttr_backbones.vlm.measures import AttributionSpread, Pointing, pointing, spread
from ttr_backbones.vlm.tower import feature_block

__all__ = [
    "VLM",
    "Attribution",
    "AttributionSpread",
    "Pointing",
    "attribute",
    "feature_block",
    "load_vlm",
    "pointing",
    "spread",
]
