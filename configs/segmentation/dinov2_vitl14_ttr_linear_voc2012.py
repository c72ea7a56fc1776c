"""DINOv2 ViT-L/14 with a test-time register, linear head, VOC 2012.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vitl14_ttr_linear_voc2012
Test: ttrb test dinov2_vitl14_ttr_linear_voc2012 CHECKPOINT
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitl14_linear_voc2012 import *

model.backbone.registers = dict(neurons="auto")
