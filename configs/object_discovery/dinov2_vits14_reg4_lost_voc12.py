"""DINOv2 ViT-S/14 with 4 trained registers, LOST, VOC 2012 trainval.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dinov2_vits14_reg4_lost_voc12
Published CorLoc: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vits14_reg4 import backbone, channels
    from .._base_.datasets.voc12_boxes import *
    from .._base_.object_discovery.lost import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), facet="key", pad="corner")
del backbone, channels  # both live in `model` now
