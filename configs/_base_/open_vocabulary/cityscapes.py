"""Cityscapes val, 19 classes (500 images).

The maps are those that mmseg's converter makes (`*_labelTrainIds.png`).
"""

data = dict(name="cityscapes", title="Cityscapes")
text = dict(classes="cityscapes", folder="data/text_vectors")
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CityscapesDataset",
        data_root="data/cityscapes",
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        pipeline=[
            dict(type="LoadImage"),
            dict(type="Resize", scale=(2048, 336), keep_ratio=True),  # the method sets the size
            # The labels are loaded after the resizing: they are scored at their own size.
            dict(type="LoadSegMask", reduce_zero_label=False, num_classes=19),
            dict(type="PackSegInputs"),
        ],
    ),
)
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
