"""OpenCLIP ViT-B/16 (LAION-2B) with a test-time register, LOST, COCO20k.

Protocol: LOST as published, with the values of the last block.
Test: ttrb test openclip_vitb16_ttr_lost_coco20k
Published CorLoc, none of it measured here:
    23.6 in the TTR paper, Table 5 (best of a sweep whose choice it does not give)
"""

from mmengine.config import read_base

with read_base():
    from .openclip_vitb16_lost_coco20k import *

model.backbone.registers = dict(neurons="auto")
