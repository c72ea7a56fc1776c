"""DINOv2 ViT-B/14, linear depth head over four blocks, KITTI.

Protocol: DINOv2's lin.4, features before the final norm; 352 x 1216 px, Garg's crop.
Train: ttrb train dinov2_vitb14_lin4_kitti_dinov2
Test: ttrb test dinov2_vitb14_lin4_kitti_dinov2 CHECKPOINT
Published RMSE in metres, none of it measured here:
    2.59 in the DINOv2 paper, Table 11
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitb14 import backbone, channels
    from .._base_.datasets.kitti import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_38k import *

model.backbone = backbone
model.backbone.update(out_indices=(2, 5, 8, 11), final_norm=False, cls_token="concat")
model.decode_head.in_channels = [2 * channels] * 4
model.decode_head.max_depth = 80.0
model.data_preprocessor.size = (352, 704)
default_hooks.checkpoint.update(save_best="abs_rel", rule="less")
del backbone, channels  # both live in `model` now
