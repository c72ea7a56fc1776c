"""DINOv2 ViT-S/14 with 4 trained registers, linear head +ms, ADE20K.

Protocol: DINOv2's "+ms" evaluation, last four blocks, 640 px, five scales and mirrored.
Train: ttrb train dinov2_vits14_reg4_ms_ade20k
Test: ttrb test dinov2_vits14_reg4_ms_ade20k CHECKPOINT --tta
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vits14_reg4 import backbone, channels
    from .._base_.datasets.ade20k_ms import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear_ms import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels] * 4, num_classes=150)
del backbone, channels  # both live in `model` now
