"""DINOv2's schedule for linear classifiers: SGD with a cosine to 0, 12,500 iterations.

These are 10 epochs of ImageNet with 128 images on each of 8 GPUs. The learning rate is for 256
images and is scaled with all images of a batch (`auto_scale_lr`), so that one GPU keeps the
published rule: train_cfg.max_iters=100000 sees as many images. The published rate is the best of 13
on the validation set: --probe-grid trains all of them at once.
"""

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="TrainableOptimWrapperConstructor",
    optimizer=dict(type="SGD", lr=1e-3, momentum=0.9, weight_decay=0.0),
    clip_grad=None,
)
param_scheduler = [
    dict(type="CosineAnnealingLR", eta_min=0.0, T_max=12500, begin=0, end=12500, by_epoch=False)
]
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(type="ResumableTrainLoop", max_iters=12500, val_interval=1250)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
