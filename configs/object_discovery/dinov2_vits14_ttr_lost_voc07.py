"""DINOv2 ViT-S/14 with a test-time register, LOST, VOC 2007 trainval.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dinov2_vits14_ttr_lost_voc07
Published CorLoc: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vits14_lost_voc07 import *

model.backbone.registers = dict(neurons="auto")
