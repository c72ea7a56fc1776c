"""DINOv2 ViT-B/14, linear head, VOC 2012.

Protocol: DINOv2's linear evaluation, 512 px.
Train: ttrb train dinov2_vitb14_linear_voc2012
Test: ttrb test dinov2_vitb14_linear_voc2012 CHECKPOINT
Published mIoU, none of it measured here:
    82.5 in the DINOv2 paper, Table 10
    83.52 in the Denoising-ViT README (no final norm)
    84.13 in the PH-Reg paper, Table 2 (its own protocol: 518 px, one GPU)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitb14 import backbone, channels
    from .._base_.datasets.voc2012 import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=21)
del backbone, channels  # both live in `model` now
