"""The demo's small random ViT, object discovery with TokenCut, synthetic scenes of 160 px.

Protocol: `ttrb demo --task discovery` writes scenes and weights, tests this config on three seeds
    of the model, and prints the table: before planting, planted, planted with a test-time register.
    TokenCut as published: keys of the last block, patches linked above a cosine of 0.2.
Test: ttrb test planted_tokencut_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Published CorLoc: none published; the model is planted and the scenes are drawn.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.object_discovery.lost import *

model.method = dict(type="tokencut", tau=0.2)
model.backbone = dict(
    type="TimmViT",
    model="vit_tiny_patch16_224",
    model_kwargs=dict(img_size=160, embed_dim=96, depth=6, num_heads=3),
    facet="key",
    pad="corner",
    frozen=True,
)
test_dataloader = dict(
    batch_size=10,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="COCO20k",
        data_root="ttrb_demo/scenes",
        data_prefix=dict(img_path="images/val"),
        ann_file="boxes/val.json",
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadBoxes"),
            dict(type="PackBoxInputs"),
        ],
    ),
)
test_evaluator = dict(type="CorLocMetric")
