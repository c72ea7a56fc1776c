"""A trial run of 200 iterations for depth: shows that everything works, reproduces no number."""

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="TrainableOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=5e-3, weight_decay=0.01, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=20, by_epoch=False),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-8, T_max=200, begin=0, end=200, by_epoch=False),
]
train_cfg = dict(type="ResumableTrainLoop", max_iters=200, val_interval=200)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
