"""DINOv2 ViT-g/14 with 4 trained registers, linear head +ms, VOC 2012.

Protocol: DINOv2's "+ms" evaluation, last four blocks, 640 px, five scales and mirrored.
Train: ttrb train dinov2_vitg14_reg4_ms_voc2012
Test: ttrb test dinov2_vitg14_reg4_ms_voc2012 CHECKPOINT --tta
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitg14_reg4 import backbone, channels
    from .._base_.datasets.voc2012_ms import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear_ms import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels] * 4, num_classes=21)
del backbone, channels  # both live in `model` now
