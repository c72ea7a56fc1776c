"""DINOv2 ViT-L/14 with 4 trained registers, linear depth head over four blocks, NYUv2.

Protocol: DINOv2's lin.4, features before the final norm; 480 x 640 px, Eigen's crop.
Train: ttrb train dinov2_vitl14_reg4_lin4_nyu_dinov2
Test: ttrb test dinov2_vitl14_reg4_lin4_nyu_dinov2 CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitl14_reg4 import backbone, channels
    from .._base_.datasets.nyu import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_38k import *

model.backbone = backbone
model.backbone.update(out_indices=(4, 11, 17, 23), final_norm=False, cls_token="concat")
model.decode_head.in_channels = [2 * channels] * 4
default_hooks.checkpoint.update(save_best="abs_rel", rule="less")
del backbone, channels  # both live in `model` now
