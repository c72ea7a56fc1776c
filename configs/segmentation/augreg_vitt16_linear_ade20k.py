"""augreg ViT-Ti/16, linear head, ADE20K.

Protocol: DINOv2's linear evaluation, 512 px, on features before the final norm and with
    the model's own mean and std.
Train: ttrb train augreg_vitt16_linear_ade20k
Test: ttrb test augreg_vitt16_linear_ade20k CHECKPOINT
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.augreg_vitt16 import backbone, channels
    from .._base_.datasets.ade20k import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=150)
model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3)
del backbone, channels  # both live in `model` now
