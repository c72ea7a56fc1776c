"""Pascal Context val without background, 59 classes (5,104 images)."""

data = dict(name="context59", title="Pascal Context, 59 classes")
text = dict(classes="context59", folder="data/text_vectors")
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="PascalContextDataset59",
        data_root="data/VOCdevkit/VOC2010",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassContext"),
        ann_file="ImageSets/SegmentationContext/val.txt",
        pipeline=[
            dict(type="LoadImage"),
            dict(type="Resize", scale=(2048, 336), keep_ratio=True),  # the method sets the size
            # The labels are loaded after the resizing: they are scored at their own size.
            dict(type="LoadSegMask", reduce_zero_label=True, num_classes=59),
            dict(type="PackSegInputs"),
        ],
    ),
)
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
