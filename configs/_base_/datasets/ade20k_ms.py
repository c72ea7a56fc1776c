"""ADE20K for "+ms": short side 640 times 1.0 to 3.0 in training, 640 px crops.

20,210 training and 2,000 validation images, 150 classes; the label 0, "other", is ignored.
Get: http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip, unpack in data/.
"""

train_pipeline = [
    dict(type="SeedSample"),
    dict(type="LoadImage"),
    dict(type="LoadSegMask", reduce_zero_label=True, num_classes=150),
    # A huge long side leaves the short side to decide.
    dict(type="RandomResize", scale=(99999999, 640), ratio_range=(1.0, 3.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(640, 640), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# The labels are loaded after the resizing: they are scored at their own size.
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(99999999, 640), keep_ratio=True),
    dict(type="LoadSegMask", reduce_zero_label=True, num_classes=150),
    dict(type="PackSegInputs"),
]
# With --tta, as the published numbers: 640 px times 1.0, 1.32, 1.73, 2.28 and 3.0, and mirrored.
tta_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(99999999, short_side), keep_ratio=True)
                for short_side in (640, 844, 1107, 1459, 1920)
            ],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadSegMask", reduce_zero_label=True, num_classes=150)],
            [dict(type="PackSegInputs")],
        ],
    ),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="ResumableInfiniteSampler", shuffle=True),
    dataset=dict(
        type="ADE20KDataset",
        data_root="data/ADEChallengeData2016",
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ADE20KDataset",
        data_root="data/ADEChallengeData2016",
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
