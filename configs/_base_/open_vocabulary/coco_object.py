"""COCO-Object, val2017: 80 things and background (5,000 images).

The maps are those of COCO-Stuff as released; stuff and what is not labelled is background.
"""

data = dict(name="coco_object", title="COCO-Object")
text = dict(classes="coco_object", folder="data/text_vectors")
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="COCOObjectDataset",
        data_root="data/coco_stuff164k",
        data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017"),
        pipeline=[
            dict(type="LoadImage"),
            dict(type="Resize", scale=(2048, 336), keep_ratio=True),  # the method sets the size
            # The labels are loaded after the resizing: they are scored at their own size.
            dict(type="LoadSegMask", reduce_zero_label=False, num_classes=81),
            dict(type="PackSegInputs"),
        ],
    ),
)
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
