"""DINOv2 ViT-B/14 with a test-time register, LOST, VOC 2012 trainval.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dinov2_vitb14_ttr_lost_voc12
Published CorLoc: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitb14_lost_voc12 import *

model.backbone.registers = dict(neurons="auto")
