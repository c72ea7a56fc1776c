"""OpenAI CLIP ViT-L/14 with a test-time register, linear head, VOC 2012.

Protocol: Denoising-ViT's (DINOv2's linear evaluation, 512 px) with features before the
    final norm and, as there, ImageNet's mean and std instead of the model's own.
Train: ttrb train clip_vitl14_ttr_linear_voc2012
Test: ttrb test clip_vitl14_ttr_linear_voc2012 CHECKPOINT
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .clip_vitl14_linear_voc2012 import *

model.backbone.registers = dict(neurons="auto")
