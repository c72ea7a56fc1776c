"""OpenCLIP ViT-L/14 (LAION-2B) with a test-time register, linear head, ADE20K.

Protocol: Denoising-ViT's (DINOv2's linear evaluation, 512 px) with features before the
    final norm and, as there, ImageNet's mean and std instead of the model's own.
Train: ttrb train openclip_vitl14_ttr_linear_ade20k
Test: ttrb test openclip_vitl14_ttr_linear_ade20k CHECKPOINT
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .openclip_vitl14_linear_ade20k import *

model.backbone.registers = dict(neurons="auto")
