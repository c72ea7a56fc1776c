"""DINOv3's schedule for its linear depth head: AdamW 3e-4, 38,400 iterations of 16 images.

A linear warm-up of 12,800 iterations from a thousandth, multiplied onto one cosine over all
iterations, which ends at a 25,000th of the rate. In its repository (dinov3/eval/depth, schedulers)
the thousandth is added instead, which differs by less than 0.1 % of the rate. Its first beta is 0
in the warm-up and then rises from 0.85 to 0.95: so the released code sets it, though its config
reads as a cycle from 0.95.

16 images are 2 on each of 8 GPUs, as the datasets say. On one GPU:
--cfg-options train_dataloader.batch_size=16
"""

from mmengine.config import read_base

with read_base():
    from .adamw_38k import *

optim_wrapper.optimizer = dict(type="AdamW", lr=3e-4, weight_decay=1e-4, betas=(0.85, 0.99))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=12800, by_epoch=False),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1 / 25000,
        T_max=38400,
        begin=0,
        end=38400,
        by_epoch=False,
    ),
    # Practically 0, and undone by its inverse at the end.
    dict(type="ConstantMomentum", factor=1e-9, begin=0, end=12801, by_epoch=False),
    dict(
        type="CosineAnnealingMomentum",
        eta_min=0.95,
        T_max=25600,
        begin=12800,
        end=38400,
        by_epoch=False,
    ),
]
train_cfg.val_interval = 1600
