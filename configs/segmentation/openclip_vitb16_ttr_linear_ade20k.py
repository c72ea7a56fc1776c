"""OpenCLIP ViT-B/16 (LAION-2B) with a test-time register, linear head, ADE20K.

Protocol: Denoising-ViT's (DINOv2's linear evaluation, 512 px) with features before the
    final norm and, as there, ImageNet's mean and std instead of the model's own.
Train: ttrb train openclip_vitb16_ttr_linear_ade20k
Test: ttrb test openclip_vitb16_ttr_linear_ade20k CHECKPOINT
Published mIoU, none of it measured here:
    40.29 +-0.09 in the TTR paper, Table 13 (Denoising-ViT settings)
"""

from mmengine.config import read_base

with read_base():
    from .openclip_vitb16_linear_ade20k import *

model.backbone.registers = dict(neurons="auto")
