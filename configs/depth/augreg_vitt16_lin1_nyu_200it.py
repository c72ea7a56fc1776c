"""augreg ViT-Ti/16, linear depth head over one block, NYUv2: a trial run.

Protocol: Denoising-ViT's, but 200 iterations; a few minutes on two CPU cores with a handful of
    images. It shows that everything works and reproduces no number.
Train: ttrb train augreg_vitt16_lin1_nyu_200it
Test: ttrb test augreg_vitt16_lin1_nyu_200it CHECKPOINT
Without a network: --cfg-options model.backbone.pretrained=False model.backbone.checkpoint=FILE
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .augreg_vitt16_lin1_nyu_dvt import *
    from .._base_.schedules.adamw_depth_200it import *

train_dataloader.num_workers = 2
val_dataloader.num_workers = 1
test_dataloader.num_workers = 1
model.decode_head.loss_decode.warm_up = 10  # the protocol's 100 calls are half of this run
default_hooks.checkpoint.interval = 50
default_hooks.logger.interval = 10
