"""Object discovery with TokenCut on the drawn scenes of `ttrb demo --task object-discovery`.

Another backbone, or a repair, needs no file:
    ttrb test tokencut_scenes --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_tokencut_scenes. In this file it is the first import.

Protocol: `ttrb demo --task object-discovery` writes scenes of 160 px and weights, tests this on
three seeds of the model, and prints the table: before planting, planted, planted with a test-time
register. TokenCut as published: keys of the last block, patches linked above a cosine of 0.2.
By hand: ttrb test planted_tokencut_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.planted import backbone, facts
    from .._base_.heads.lost import *

model.method = dict(type="tokencut", tau=0.2)
model.backbone = dict(backbone, facet=facts.facet, pad="corner")
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
protocol = dict(title="TokenCut, drawn scenes", tta=False)
del backbone, facts, protocol
