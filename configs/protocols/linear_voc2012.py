"""Linear segmentation head on VOC 2012, mIoU: DINOv2's "lin.".

Another backbone, or a repair, needs no file:
    ttrb train linear_voc2012 --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_linear_voc2012. In this file it is the first import.

Protocol: DINOv2's linear evaluation, 512 px; final norm, mean and std are those of the backbone's
file. Published numbers of CLIP and DeiT-III are Denoising-ViT's.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.voc2012 import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k import *

model.backbone = dict(backbone, out_indices=(-4, -3, -2, -1), pad="center")
model.decode_head.update(in_channels=[facts.channels], num_classes=21)
model.data_preprocessor.update(mean=facts.mean, std=facts.std)
protocol = dict(title="linear head, VOC 2012", tta=False)
del backbone, facts, protocol
