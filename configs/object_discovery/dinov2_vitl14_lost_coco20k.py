"""DINOv2 ViT-L/14, LOST, COCO20k.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dinov2_vitl14_lost_coco20k
Published CorLoc, none of it measured here:
    25.4 in the TTR paper, Table 5 (best of a sweep whose choice it does not give)
    26.9 in the "Vision Transformers Need Registers" paper, Table 3 (weights and a bias of its own)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitl14 import backbone, channels
    from .._base_.datasets.coco20k_boxes import *
    from .._base_.object_discovery.lost import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), facet="key", pad="corner")
del backbone, channels  # both live in `model` now
