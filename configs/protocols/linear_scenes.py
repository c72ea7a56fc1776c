"""Linear segmentation head on the drawn scenes of `ttrb demo`, mIoU.

Another backbone, or a repair, needs no file:
    ttrb train linear_scenes --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_linear_scenes. In this file it is the first import.

Protocol: `ttrb demo` writes scenes of 160 px and weights, trains this on three seeds of the model,
and prints the table: before planting, planted, planted with a test-time register.
By hand: ttrb train planted_linear_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.planted import backbone, facts
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_200it import *

model.backbone = dict(backbone)
model.decode_head.update(in_channels=[facts.channels], in_index=[0], num_classes=8)
model.data_preprocessor.update(mean=facts.mean, std=facts.std, size=(160, 160))
model.test_cfg = dict(mode="whole")

scenes = dict(
    type="BaseSegDataset",
    data_root="ttrb_demo/scenes",
    img_suffix=".png",
    # Names and colours of ttr_backbones.datasets.scenes.
    metainfo=dict(
        classes=["sky", "wall", "sand", "grass", "bricks", "stripes", "dots", "gravel"],
        palette=[
            [86, 180, 233],
            [204, 121, 167],
            [240, 228, 66],
            [0, 158, 115],
            [213, 94, 0],
            [0, 114, 178],
            [230, 159, 0],
            [0, 0, 0],
        ],
    ),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="ResumableInfiniteSampler", shuffle=True),
    dataset=dict(
        scenes,
        data_prefix=dict(img_path="images/train", seg_map_path="annotations/train"),
        pipeline=[
            dict(type="SeedSample"),
            dict(type="LoadImage"),
            dict(type="LoadSegMask"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackSegInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        scenes,
        data_prefix=dict(img_path="images/val", seg_map_path="annotations/val"),
        pipeline=[dict(type="LoadImage"), dict(type="LoadSegMask"), dict(type="PackSegInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
del scenes
train_cfg.update(max_iters=150, val_interval=150)
param_scheduler[0].update(end=15)
param_scheduler[1].update(end=150)
protocol = dict(title="linear head, drawn scenes", tta=False)
del backbone, facts, protocol
