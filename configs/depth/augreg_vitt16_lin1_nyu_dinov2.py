"""augreg ViT-Ti/16, linear depth head over one block, NYUv2.

Protocol: DINOv2's lin.1, features before the final norm; 480 x 640 px, Eigen's crop.
    The model's own mean and std.
Train: ttrb train augreg_vitt16_lin1_nyu_dinov2
Test: ttrb test augreg_vitt16_lin1_nyu_dinov2 CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.augreg_vitt16 import backbone, channels
    from .._base_.datasets.nyu import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_38k import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), final_norm=False, cls_token="concat")
model.decode_head.in_channels = [2 * channels]
model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3)
default_hooks.checkpoint.update(save_best="abs_rel", rule="less")
del backbone, channels  # both live in `model` now
