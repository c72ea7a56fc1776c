"""A trial run of 200 iterations: shows that everything works, reproduces no number.

Ten times the protocol's learning rate, or a head would hardly move in so few steps.
"""

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="TrainableOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-2, weight_decay=1e-4, betas=(0.9, 0.999)),
    clip_grad=None,
)
# Both begin at 0: mmcv 1.x, where the protocol comes from, multiplies the warm-up onto the decay.
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, begin=0, end=20, by_epoch=False),
    dict(type="PolyLR", power=1.0, eta_min=0.0, begin=0, end=200, by_epoch=False),
]
train_cfg = dict(type="ResumableTrainLoop", max_iters=200, val_interval=200)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
