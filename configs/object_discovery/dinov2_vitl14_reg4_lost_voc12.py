"""DINOv2 ViT-L/14 with 4 trained registers, LOST, VOC 2012 trainval.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dinov2_vitl14_reg4_lost_voc12
Published CorLoc, none of it measured here:
    60.2 in the TTR paper, Table 5 (best of a sweep whose choice it does not give)
    60.0 in the "Vision Transformers Need Registers" paper, Table 3 (weights and a bias of its own)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitl14_reg4 import backbone, channels
    from .._base_.datasets.voc12_boxes import *
    from .._base_.object_discovery.lost import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), facet="key", pad="corner")
del backbone, channels  # both live in `model` now
