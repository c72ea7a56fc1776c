"""Linear depth head on one block, NYUv2, RMSE: Denoising-ViT's.

Another backbone, or a repair, needs no file:
    ttrb train lin1_nyu_dvt --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_lin1_nyu_dvt. In this file it is the first import.

Protocol: Denoising-ViT's, the one of the paper of test-time registers: the last block after the
final norm, position embedding as timm resamples it, learning rate 5e-3, else DINOv2's lin.1.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.nyu import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_38k import *

model.backbone = dict(
    backbone, out_indices=(-1,), final_norm=True, pos_embed="timm", cls_token="concat", pad="center"
)
model.decode_head.in_channels = [2 * facts.channels]
model.data_preprocessor.update(mean=facts.mean, std=facts.std)
optim_wrapper.optimizer.lr = 5e-3
train_cfg.val_interval = 800
default_hooks.checkpoint.update(save_best="abs_rel", rule="less")
protocol = dict(title="linear depth head over one block, NYUv2", tta=False)
del backbone, facts, protocol
