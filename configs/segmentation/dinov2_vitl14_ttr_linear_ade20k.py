"""DINOv2 ViT-L/14 with a test-time register, linear head, ADE20K.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vitl14_ttr_linear_ade20k
Test: ttrb test dinov2_vitl14_ttr_linear_ade20k CHECKPOINT
Published mIoU, none of it measured here:
    49.13 +-0.11 in the TTR paper, Table 13 (Denoising-ViT settings)
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitl14_linear_ade20k import *

model.backbone.registers = dict(neurons="auto")
