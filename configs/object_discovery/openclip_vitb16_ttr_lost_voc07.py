"""OpenCLIP ViT-B/16 (LAION-2B) with a test-time register, LOST, VOC 2007 trainval.

Protocol: LOST as published, with the values of the last block.
Test: ttrb test openclip_vitb16_ttr_lost_voc07
Published CorLoc, none of it measured here:
    30.9 in the TTR paper, Table 5 (best of a sweep whose choice it does not give)
"""

from mmengine.config import read_base

with read_base():
    from .openclip_vitb16_lost_voc07 import *

model.backbone.registers = dict(neurons="auto")
