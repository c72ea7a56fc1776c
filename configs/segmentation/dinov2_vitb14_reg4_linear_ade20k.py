"""DINOv2 ViT-B/14 with 4 trained registers, linear head, ADE20K.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vitb14_reg4_linear_ade20k
Test: ttrb test dinov2_vitb14_reg4_linear_ade20k CHECKPOINT
Published mIoU, none of it measured here:
    47.73 in the Denoising-ViT README (no final norm)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitb14_reg4 import backbone, channels
    from .._base_.datasets.ade20k import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=150)
del backbone, channels  # both live in `model` now
