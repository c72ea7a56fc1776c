"""augreg ViT-Ti/16, linear head, ADE20K in small: a trial run.

Protocol: 200 iterations of 4 crops of 224 px, windows of 224 px in the test; a few minutes on two
    CPU cores with a handful of images. It shows that everything works and reproduces no number.
Train: ttrb train augreg_vitt16_linear_ade20k_200it
Test: ttrb test augreg_vitt16_linear_ade20k_200it CHECKPOINT
Without a network: --cfg-options model.backbone.pretrained=False model.backbone.checkpoint=FILE
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.augreg_vitt16 import backbone, channels
    from .._base_.datasets.ade20k_224 import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_200it import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=150)
model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3, size=(224, 224))
model.test_cfg = dict(mode="slide", crop_size=(224, 224), stride=(149, 149))
default_hooks.checkpoint.interval = 50
default_hooks.logger.interval = 10
del backbone, channels  # both live in `model` now
