"""wise-ft's schedule for linear classifiers: AdamW, 10 epochs of ImageNet in batches of 128.

Warm-up of 500 steps, then a cosine to 0. The rate of 0.01 is the one that the paper of test-time
registers names; wise-ft's own default is 1e-3.
"""

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="TrainableOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-2, weight_decay=0.1),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 500, begin=0, end=500, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min=0.0, T_max=99600, begin=500, end=100100, by_epoch=False),
]
train_cfg = dict(type="ResumableTrainLoop", max_iters=100100, val_interval=10010)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
