"""ADE20K val, 150 classes (2,000 images)."""

data = dict(name="ade20k", title="ADE20K")
text = dict(classes="ade20k", folder="data/text_vectors")
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ADE20KDataset",
        data_root="data/ADEChallengeData2016",
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=[
            dict(type="LoadImage"),
            dict(type="Resize", scale=(2048, 336), keep_ratio=True),  # the method sets the size
            # The labels are loaded after the resizing: they are scored at their own size.
            dict(type="LoadSegMask", reduce_zero_label=True, num_classes=150),
            dict(type="PackSegInputs"),
        ],
    ),
)
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
