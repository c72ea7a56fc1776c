"""Pascal VOC 2012 val with background, 21 classes (1,449 images).

The background has 26 names of stuff in `configs/classes/voc21.txt`.
"""

data = dict(name="voc21", title="VOC 2012, 21 classes")
text = dict(classes="voc21", folder="data/text_vectors")
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="PascalVOCDataset",
        data_root="data/VOCdevkit/VOC2012",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        ann_file="ImageSets/Segmentation/val.txt",
        pipeline=[
            dict(type="LoadImage"),
            dict(type="Resize", scale=(2048, 336), keep_ratio=True),  # the method sets the size
            # The labels are loaded after the resizing: they are scored at their own size.
            dict(type="LoadSegMask", reduce_zero_label=False, num_classes=21),
            dict(type="PackSegInputs"),
        ],
    ),
)
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
