"""DINOv3's schedule for linear segmentation heads: AdamW, 40,000 iterations of 16 images.

A cosine to 0 under a warm-up of 1,500 iterations, ten times the weight decay of DINOv2's. 16 images
are 2 on each of 8 GPUs, as the datasets say. On one GPU:
--cfg-options train_dataloader.batch_size=16
"""

from mmengine.config import read_base

with read_base():
    from .adamw_40k import *

optim_wrapper.optimizer.weight_decay = 1e-3
optim_wrapper.clip_grad = dict(max_norm=35, norm_type=2)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1500, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=0.0, T_max=40000, begin=0, end=40000, by_epoch=False),
]
