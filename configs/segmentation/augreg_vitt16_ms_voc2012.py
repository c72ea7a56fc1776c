"""augreg ViT-Ti/16, linear head +ms, VOC 2012.

Protocol: DINOv2's "+ms" evaluation, last four blocks, 640 px, five scales and mirrored, on
    features before the final norm and with the model's own mean and std.
Train: ttrb train augreg_vitt16_ms_voc2012
Test: ttrb test augreg_vitt16_ms_voc2012 CHECKPOINT --tta
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.augreg_vitt16 import backbone, channels
    from .._base_.datasets.voc2012_ms import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear_ms import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels] * 4, num_classes=21)
model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3)
del backbone, channels  # both live in `model` now
