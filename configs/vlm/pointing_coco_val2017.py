"""The pointing game on COCO val2017: where does a vision-language model look for a thing?

    ttrb test configs/vlm/pointing_coco_val2017.py --cfg-options model.vlm=NAME_OR_FOLDER
    ... --cfg-options model.vlm=NAME_OR_FOLDER model.neurons=list.json     # with a register

A question per image and category that it shows: the model answers, the answer's attention, mean
over its tokens and all layers and heads of the language model, is laid over the photograph, and its
peak lies in a box of the category or not.
This is no published protocol: compare the two runs with each other. LLaVA 1.5 sees the central
square of a photograph; questions whose boxes it does not see are left out and counted.

Data: http://images.cocodataset.org/zips/val2017.zip and
http://images.cocodataset.org/annotations/annotations_trainval2017.zip, unpacked in data/coco/.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.default_runtime import *

custom_imports["imports"].append("ttr_backbones.pointing")
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="COCOPointing",
        prompt="Where is the {category}?",
        data_root="data/coco",
        data_prefix=dict(img_path="val2017"),
        ann_file="annotations/instances_val2017.json",
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadBoxes"),
            dict(type="PackPointing"),
        ],
    ),
)
test_evaluator = dict(type="PointingMetric")
model = dict(
    type="PointingVLM",
    vlm="llava-hf/llava-1.5-7b-hf",
    neurons=None,
    max_new_tokens=8,
    dtype="float32",
)
# torch's DistributedDataParallel refuses a model without parameters to train.
model_wrapper_cfg = dict(type="NoModelWrapper")
test_cfg = dict(type="TestLoop")
visualizer.type = "PointingVisualizer"
