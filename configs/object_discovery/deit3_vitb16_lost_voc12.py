"""DeiT-III ViT-B/16 (ImageNet-22k, then 1k), LOST, VOC 2012 trainval.

Protocol: LOST as published, with the values of the last block.
Test: ttrb test deit3_vitb16_lost_voc12
Published CorLoc, none of it measured here:
    13.1 in the "Vision Transformers Need Registers" paper, Table 3 (weights and a bias of its own)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.deit3_vitb16 import backbone, channels
    from .._base_.datasets.voc12_boxes import *
    from .._base_.object_discovery.lost import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), facet="value", pad="corner")
del backbone, channels  # both live in `model` now
