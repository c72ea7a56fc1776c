"""DINOv2 ViT-L/14, LOST, a folder of images.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dinov2_vitl14_lost_folder --data-root DIR --show-dir DIR
Published CorLoc: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitl14 import backbone, channels
    from .._base_.datasets.image_folder import *
    from .._base_.object_discovery.lost import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), facet="key", pad="corner")
del backbone, channels  # both live in `model` now
