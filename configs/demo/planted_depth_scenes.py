"""The demo's small random ViT, linear depth head, synthetic scenes of 160 px.

Protocol: `ttrb demo --task depth` writes scenes and weights, trains this config on three seeds of
    the model, and prints the table: before planting, planted, planted with a test-time register.
Train: ttrb train planted_depth_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Test: ttrb test planted_depth_scenes CHECKPOINT --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Published RMSE: none published; the model is planted and the scenes are drawn.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_depth_200it import *

model.backbone = dict(
    type="TimmViT",
    model="vit_tiny_patch16_224",
    model_kwargs=dict(img_size=160, embed_dim=96, depth=6, num_heads=3),
    cls_token="concat",
    frozen=True,
)
model.decode_head.in_channels = [2 * 96]
model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3, size=(160, 160))

scenes = dict(type="NYUDepthV2", data_root="ttrb_demo/scenes", img_suffix=".png")
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="ResumableInfiniteSampler", shuffle=True),
    dataset=dict(
        scenes,
        data_prefix=dict(img_path="images/train", depth_map_path="depth/train"),
        pipeline=[
            dict(type="SeedSample"),
            dict(type="LoadImage"),
            dict(type="LoadDepth"),
            dict(type="Albumentations", transforms=[dict(type="HorizontalFlip", p=0.5)]),
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
        data_prefix=dict(img_path="images/val", depth_map_path="depth/val"),
        pipeline=[dict(type="LoadImage"), dict(type="LoadDepth"), dict(type="PackSegInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="NYUDepthMetric", crop=None)
test_evaluator = val_evaluator
del scenes
model.decode_head.loss_decode.warm_up = 10  # the protocol's 100 calls are half of this run
