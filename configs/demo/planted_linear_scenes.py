"""The demo's small random ViT, linear head, synthetic scenes of 160 px.

Protocol: `ttrb demo` writes scenes and weights, trains this config on three seeds of the model, and
    prints the table: before planting, planted, planted with a test-time register.
Train: ttrb train planted_linear_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Test: ttrb test planted_linear_scenes CHECKPOINT --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Published mIoU: none published; the model is planted and the scenes are drawn.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_200it import *

model.backbone = dict(
    type="TimmViT",
    model="vit_tiny_patch16_224",
    model_kwargs=dict(img_size=160, embed_dim=96, depth=6, num_heads=3),
    frozen=True,
)
model.decode_head.update(in_channels=[96], in_index=[0], num_classes=8)
model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3, size=(160, 160))
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
