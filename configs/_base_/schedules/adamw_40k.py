"""DINOv2's schedule for linear heads: AdamW, 40,000 iterations of 16 images.

16 images are 2 on each of 8 GPUs, as the datasets say. On one GPU:
--cfg-options train_dataloader.batch_size=16
"""

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="TrainableOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=1e-4, betas=(0.9, 0.999)),
    clip_grad=None,
)
# Both begin at 0: mmcv 1.x, where the protocol comes from, multiplies the warm-up onto the decay.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=1500, by_epoch=False),
    dict(type="PolyLR", power=1.0, eta_min=0.0, begin=0, end=40000, by_epoch=False),
]
train_cfg = dict(type="ResumableTrainLoop", max_iters=40000, val_interval=10000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
