"""DINOv2 ViT-L/14 with 4 trained registers, linear head, VOC 2012.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vitl14_reg4_linear_voc2012
Test: ttrb test dinov2_vitl14_reg4_linear_voc2012 CHECKPOINT
Published mIoU, none of it measured here:
    83.21 in the Denoising-ViT README (no final norm)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitl14_reg4 import backbone, channels
    from .._base_.datasets.voc2012 import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=21)
del backbone, channels  # both live in `model` now
