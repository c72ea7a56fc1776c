"""DINOv2 ViT-g/14, linear head, VOC 2012.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vitg14_linear_voc2012
Test: ttrb test dinov2_vitg14_linear_voc2012 CHECKPOINT
Published mIoU, none of it measured here:
    83.0 in the DINOv2 paper, Table 10
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitg14 import backbone, channels
    from .._base_.datasets.voc2012 import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=21)
del backbone, channels  # both live in `model` now
