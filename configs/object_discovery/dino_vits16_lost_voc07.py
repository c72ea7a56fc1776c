"""DINO ViT-S/16, LOST, VOC 2007 trainval.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dino_vits16_lost_voc07
Published CorLoc, none of it measured here:
    61.9 in the LOST paper and its README, by this protocol
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dino_vits16 import backbone, channels
    from .._base_.datasets.voc07_boxes import *
    from .._base_.object_discovery.lost import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), facet="key", pad="corner")
del backbone, channels  # both live in `model` now
