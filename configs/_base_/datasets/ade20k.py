"""ADE20K for "lin.": short side 512 times 0.5 to 2.0 in training, 512 px crops.

20,210 training and 2,000 validation images, 150 classes; the label 0, "other", is ignored.
Get: http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip, unpack in data/.
"""

train_pipeline = [
    dict(type="SeedSample"),
    dict(type="LoadImage"),
    dict(type="LoadSegMask", reduce_zero_label=True, num_classes=150),
    # A huge long side leaves the short side to decide.
    dict(type="RandomResize", scale=(99999999, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# The labels are loaded after the resizing: they are scored at their own size.
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(99999999, 512), keep_ratio=True),
    dict(type="LoadSegMask", reduce_zero_label=True, num_classes=150),
    dict(type="PackSegInputs"),
]
# With --tta, the ratios of "+ms"; no published number of this head uses it.
tta_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(99999999, short_side), keep_ratio=True)
                for short_side in (512, 675, 885, 1167, 1536)
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
