"""OpenCLIP ViT-L/14 (LAION-2B), linear head, VOC 2012.

Protocol: Denoising-ViT's (DINOv2's linear evaluation, 512 px) with features before the
    final norm and, as there, ImageNet's mean and std instead of the model's own.
Train: ttrb train openclip_vitl14_linear_voc2012
Test: ttrb test openclip_vitl14_linear_voc2012 CHECKPOINT
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.openclip_vitl14 import backbone, channels
    from .._base_.datasets.voc2012 import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = backbone
model.decode_head.update(in_channels=[channels], num_classes=21)
del backbone, channels  # both live in `model` now
