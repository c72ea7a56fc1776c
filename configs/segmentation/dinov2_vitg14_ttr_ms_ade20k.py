"""DINOv2 ViT-g/14 with a test-time register, linear head +ms, ADE20K.

Protocol: DINOv2's "+ms" evaluation, last four blocks, 640 px, five scales and mirrored.
Train: ttrb train dinov2_vitg14_ttr_ms_ade20k
Test: ttrb test dinov2_vitg14_ttr_ms_ade20k CHECKPOINT --tta
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitg14_ms_ade20k import *

model.backbone.registers = dict(neurons="auto")
