"""DINOv2 ViT-g/14, linear head, ADE20K.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vitg14_linear_ade20k
Test: ttrb test dinov2_vitg14_linear_ade20k CHECKPOINT
Published mIoU, none of it measured here:
    49.0 in the DINOv2 paper, Table 10
    48.83 in the SINDER paper
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitg14 import backbone, channels
    from .._base_.datasets.ade20k import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=150)
del backbone, channels  # both live in `model` now
