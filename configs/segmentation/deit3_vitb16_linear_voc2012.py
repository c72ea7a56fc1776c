"""DeiT-III ViT-B/16 (ImageNet-22k, then 1k), linear head, VOC 2012.

Protocol: Denoising-ViT's (DINOv2's linear evaluation, 512 px) with features before the
    final norm and, as there, ImageNet's mean and std (they are the model's own).
Train: ttrb train deit3_vitb16_linear_voc2012
Test: ttrb test deit3_vitb16_linear_voc2012 CHECKPOINT
Published mIoU, none of it measured here:
    71.03 in the Denoising-ViT README (its weights: timm's deit3_base_patch16_224, tag not said)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.deit3_vitb16 import backbone, channels
    from .._base_.datasets.voc2012 import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=21)
del backbone, channels  # both live in `model` now
