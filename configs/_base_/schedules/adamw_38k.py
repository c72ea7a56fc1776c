"""DINOv2's schedule for depth heads: AdamW, 38,400 iterations of 16 images.

16 images are 2 on each of 8 GPUs, as the datasets say. On one GPU:
--cfg-options train_dataloader.batch_size=16. A config puts in the learning rate. The checkpoint
with the smallest abs_rel on the test images is kept too, as published.
"""

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="TrainableOptimWrapperConstructor",
    # The schedule below moves the first beta between 0.95 and 0.85 from the first iteration on.
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.01, betas=(0.95, 0.999)),
    clip_grad=dict(max_norm=35, norm_type=2),
)
# Both rates begin at 0: mmcv 1.x, where the protocol comes from, multiplies the warm-up onto the
# decay. The two momenta are its OneCycle policy: down for 30 % of the run, then up again.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=12800, by_epoch=False),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-8,
        T_max=38400,
        begin=0,
        end=38400,
        by_epoch=False,
    ),
    dict(
        type="CosineAnnealingMomentum",
        eta_min=0.85,
        T_max=11520,
        begin=0,
        end=11520,
        by_epoch=False,
    ),
    dict(
        type="CosineAnnealingMomentum",
        eta_min=0.95,
        T_max=26880,
        begin=11520,
        end=38400,
        by_epoch=False,
    ),
]
train_cfg = dict(type="ResumableTrainLoop", max_iters=38400, val_interval=6400)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
