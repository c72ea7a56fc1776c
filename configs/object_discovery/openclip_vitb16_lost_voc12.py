"""OpenCLIP ViT-B/16 (LAION-2B), LOST, VOC 2012 trainval.

Protocol: LOST as published, with the values of the last block.
Test: ttrb test openclip_vitb16_lost_voc12
Published CorLoc, none of it measured here:
    35.9 in the TTR paper, Table 5 (best of a sweep whose choice it does not give)
    44.3 in the "Vision Transformers Need Registers" paper, Table 3 (weights and a bias of its own)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.openclip_vitb16 import backbone, channels
    from .._base_.datasets.voc12_boxes import *
    from .._base_.object_discovery.lost import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), facet="value", pad="corner")
del backbone, channels  # both live in `model` now
