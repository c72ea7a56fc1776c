"""OpenAI CLIP ViT-B/16 with a test-time register, linear head +ms, ADE20K.

Protocol: DINOv2's "+ms" evaluation, last four blocks, 640 px, five scales and mirrored; as in
    Denoising-ViT with features before the final norm and ImageNet's mean and std.
Train: ttrb train clip_vitb16_ttr_ms_ade20k
Test: ttrb test clip_vitb16_ttr_ms_ade20k CHECKPOINT --tta
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .clip_vitb16_ms_ade20k import *

model.backbone.registers = dict(neurons="auto")
