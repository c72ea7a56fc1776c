"""Linear segmentation head on ADE20K, mIoU: DINOv3's.

Another backbone, or a repair, needs no file:
    ttrb train linear_ade20k_dinov3 --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_linear_ade20k_dinov3. In this file it is the first import.

Protocol: DINOv3's linear evaluation (arXiv 2508.10104; the settings are those of its repository,
dinov3/eval/segmentation): DINOv2's, with dropout 0.1 on whole channels before the batch norm,
weight decay 1e-3, clipped gradients and a cosine. Numbers of the two are not comparable.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.ade20k import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_40k_dinov3 import *

model.backbone = dict(backbone, out_indices=(-1,), pad="center")
model.decode_head.update(
    in_index=[0],
    in_channels=[facts.channels],
    num_classes=150,
    dropout_ratio=0.1,
    dropout_first=True,
)
model.data_preprocessor.update(mean=facts.mean, std=facts.std)
protocol = dict(title="linear head, ADE20K", tta=False)
del backbone, facts, protocol
