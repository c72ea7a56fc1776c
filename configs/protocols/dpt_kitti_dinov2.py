"""DPT depth head, KITTI, RMSE: DINOv2's "DPT".

Another backbone, or a repair, needs no file:
    ttrb train dpt_kitti_dinov2 --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_dpt_kitti_dinov2. In this file it is the first import.

Protocol: DINOv2's DPT, features before the final norm; 352 x 1216 px, Garg's crop.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.kitti import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_dpt import *
    from .._base_.schedules.adamw_38k import *

model.backbone = dict(
    backbone, out_indices=facts.four_blocks, final_norm=False, cls_token="concat", pad="center"
)
model.decode_head.in_channels = [2 * facts.channels] * 4
model.data_preprocessor.update(mean=facts.mean, std=facts.std)
model.decode_head.max_depth = 80.0
model.data_preprocessor.size = (352, 704)
default_hooks.checkpoint.update(save_best="abs_rel", rule="less")
protocol = dict(title="DPT depth head, KITTI", tta=False)
del backbone, facts, protocol
