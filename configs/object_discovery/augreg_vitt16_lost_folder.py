"""augreg ViT-Ti/16, LOST, a folder of images.

Protocol: LOST as published, with the values of the last block.
Test: ttrb test augreg_vitt16_lost_folder --data-root DIR --show-dir DIR
Without a network: --cfg-options model.backbone.pretrained=False model.backbone.checkpoint=FILE
Published CorLoc: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.augreg_vitt16 import backbone, channels
    from .._base_.datasets.image_folder import *
    from .._base_.object_discovery.lost import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), facet="value", pad="corner")
del backbone, channels  # both live in `model` now
