"""Linear depth head on four blocks, NYUv2, RMSE: DINOv2's "lin.4".

Another backbone, or a repair, needs no file:
    ttrb train lin4_nyu_dinov2 --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_lin4_nyu_dinov2. In this file it is the first import.

Protocol: DINOv2's lin.4, features before the final norm; 480 x 640 px, Eigen's crop.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.nyu import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_38k import *

model.backbone = dict(
    backbone, out_indices=facts.four_blocks, final_norm=False, cls_token="concat", pad="center"
)
model.decode_head.in_channels = [2 * facts.channels] * 4
model.data_preprocessor.update(mean=facts.mean, std=facts.std)
default_hooks.checkpoint.update(save_best="abs_rel", rule="less")
protocol = dict(title="linear depth head over four blocks, NYUv2", tta=False)
del backbone, facts, protocol
