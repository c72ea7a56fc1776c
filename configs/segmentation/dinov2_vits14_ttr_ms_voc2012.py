"""DINOv2 ViT-S/14 with a test-time register, linear head +ms, VOC 2012.

Protocol: DINOv2's "+ms" evaluation, last four blocks, 640 px, five scales and mirrored.
Train: ttrb train dinov2_vits14_ttr_ms_voc2012
Test: ttrb test dinov2_vits14_ttr_ms_voc2012 CHECKPOINT --tta
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vits14_ms_voc2012 import *

model.backbone.registers = dict(neurons="auto")
