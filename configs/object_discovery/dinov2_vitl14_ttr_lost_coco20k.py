"""DINOv2 ViT-L/14 with a test-time register, LOST, COCO20k.

Protocol: LOST as published, with the keys of the last block.
Test: ttrb test dinov2_vitl14_ttr_lost_coco20k
Published CorLoc, none of it measured here:
    41.9 in the TTR paper, Table 5 (best of a sweep whose choice it does not give)
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitl14_lost_coco20k import *

model.backbone.registers = dict(neurons="auto")
