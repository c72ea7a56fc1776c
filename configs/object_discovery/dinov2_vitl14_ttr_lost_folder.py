"""DINOv2 ViT-L/14 with a test-time register, LOST, a folder of images.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dinov2_vitl14_ttr_lost_folder --data-root DIR --show-dir DIR
Published CorLoc: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitl14_lost_folder import *

model.backbone.registers = dict(neurons="auto")
