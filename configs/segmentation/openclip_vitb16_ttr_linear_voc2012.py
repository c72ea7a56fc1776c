"""OpenCLIP ViT-B/16 (LAION-2B) with a test-time register, linear head, VOC 2012.

Protocol: Denoising-ViT's (DINOv2's linear evaluation, 512 px) with features before the
    final norm and, as there, ImageNet's mean and std instead of the model's own.
Train: ttrb train openclip_vitb16_ttr_linear_voc2012
Test: ttrb test openclip_vitb16_ttr_linear_voc2012 CHECKPOINT
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .openclip_vitb16_linear_voc2012 import *

model.backbone.registers = dict(neurons="auto")
