"""OpenAI CLIP ViT-B/16, linear head, ADE20K.

Protocol: Denoising-ViT's (DINOv2's linear evaluation, 512 px) with features before the
    final norm and, as there, ImageNet's mean and std instead of the model's own.
Train: ttrb train clip_vitb16_linear_ade20k
Test: ttrb test clip_vitb16_linear_ade20k CHECKPOINT
Published mIoU, none of it measured here:
    35.78 in the PH-Reg paper, Table 2 (its own protocol: 518 px, one GPU)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.clip_vitb16 import backbone, channels
    from .._base_.datasets.ade20k import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=150)
del backbone, channels  # both live in `model` now
