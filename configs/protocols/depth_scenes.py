"""Linear depth head on the drawn scenes of `ttrb demo --task depth`, RMSE.

Another backbone, or a repair, needs no file:
    ttrb train depth_scenes --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_depth_scenes. In this file it is the first import.

Protocol: `ttrb demo --task depth` writes scenes of 160 px and weights, trains this on three seeds
of the model, and prints the table: before planting, planted, planted with a test-time register.
By hand: ttrb train planted_depth_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.planted import backbone, facts
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_depth_200it import *

model.backbone = dict(backbone, cls_token="concat")
model.decode_head.in_channels = [2 * facts.channels]
model.data_preprocessor.update(mean=facts.mean, std=facts.std, size=(160, 160))

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
protocol = dict(title="linear depth head, drawn scenes", tta=False)
del backbone, facts, protocol
