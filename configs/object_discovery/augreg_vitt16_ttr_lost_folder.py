"""augreg ViT-Ti/16 with a test-time register, LOST, a folder of images.

Protocol: LOST as published, with the values of the last block.
Test: ttrb test augreg_vitt16_ttr_lost_folder --data-root DIR --show-dir DIR
Without a network: --cfg-options model.backbone.pretrained=False model.backbone.checkpoint=FILE
Published CorLoc: none published.
"""

from mmengine.config import read_base

with read_base():
    from .augreg_vitt16_lost_folder import *

model.backbone.registers = dict(neurons="auto")
