"""DINOv2 ViT-L/14 with 4 trained registers, linear depth head over one block, NYUv2.

Protocol: Denoising-ViT's, the one of the TTR paper: the last block after the final norm,
    learning rate 5e-3, else DINOv2's lin.1.
Train: ttrb train dinov2_vitl14_reg4_lin1_nyu_dvt
Test: ttrb test dinov2_vitl14_reg4_lin1_nyu_dvt CHECKPOINT
Published RMSE in metres, none of it measured here:
    0.3823 +-0.0011 in the TTR paper, Table 13
    0.3852 (abs_rel 0.1139, d1 88.53 %) in the Denoising-ViT README
"""

from mmengine.config import read_base

with read_base():
    from .._base_.backbones.dinov2_vitl14_reg4 import backbone, channels
    from .._base_.datasets.nyu import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_38k import *

model.backbone = backbone
model.backbone.update(out_indices=(-1,), final_norm=True, cls_token="concat", pos_embed="timm")
model.decode_head.in_channels = [2 * channels]
optim_wrapper.optimizer.lr = 5e-3
train_cfg.val_interval = 800
default_hooks.checkpoint.update(save_best="abs_rel", rule="less")
del backbone, channels  # both live in `model` now
