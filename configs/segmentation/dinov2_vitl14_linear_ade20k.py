"""DINOv2 ViT-L/14, linear head, ADE20K.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vitl14_linear_ade20k
Test: ttrb test dinov2_vitl14_linear_ade20k CHECKPOINT
Published mIoU, none of it measured here:
    47.7 in the DINOv2 paper, Table 10
    47.53 in the Denoising-ViT README (no final norm)
    48.27 +-0.15 in the TTR paper, Table 13 (Denoising-ViT settings)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitl14 import backbone, channels
    from .._base_.datasets.ade20k import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=150)
del backbone, channels  # both live in `model` now
