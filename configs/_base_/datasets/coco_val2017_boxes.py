"""COCO val2017: 5,000 images, or as many of them as the file of annotations names.

Get: http://images.cocodataset.org/zips/val2017.zip and
http://images.cocodataset.org/annotations/annotations_trainval2017.zip, unpack both in data/coco/.
"""

test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="COCO20k",
        data_root="data/coco",
        data_prefix=dict(img_path="val2017"),
        ann_file="annotations/instances_val2017.json",
        list_file=None,
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadBoxes"),
            dict(type="PackBoxInputs"),
        ],
    ),
)
test_evaluator = dict(type="CorLocMetric")
