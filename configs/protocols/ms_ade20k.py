"""Linear segmentation head on four blocks, ADE20K, mIoU: DINOv2's "+ms".

Another backbone, or a repair, needs no file:
    ttrb train ms_ade20k --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_ms_ade20k. In this file it is the first import.

Protocol: DINOv2's "+ms" evaluation, last four blocks, 640 px; published numbers are averages over
five scales and mirror images: ttrb test NAME CHECKPOINT --tta.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.ade20k_ms import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear_ms import *
    from .._base_.schedules.adamw_40k import *

model.backbone = dict(backbone, out_indices=(-4, -3, -2, -1), pad="center")
model.decode_head.update(in_channels=[facts.channels] * 4, num_classes=150)
model.data_preprocessor.update(mean=facts.mean, std=facts.std)
protocol = dict(title="linear head +ms, ADE20K", tta=True)
del backbone, facts, protocol
