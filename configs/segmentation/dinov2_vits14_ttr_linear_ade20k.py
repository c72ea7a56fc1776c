"""DINOv2 ViT-S/14 with a test-time register, linear head, ADE20K.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vits14_ttr_linear_ade20k
Test: ttrb test dinov2_vits14_ttr_linear_ade20k CHECKPOINT
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vits14_linear_ade20k import *

model.backbone.registers = dict(neurons="auto")
