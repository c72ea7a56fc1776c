"""NYUv2 depth in the layout of BTS: 24,231 training and 654 test images of 640 x 480 px, 10 m.

`nyu_train.txt` and `nyu_test.txt` hold lines "image depth focal"; depth is uint16 millimetres, 0
where it is missing. `ttrb prepare nyu` makes this folder from the official files or from BTS's
archive, `ttrb check-data CONFIG` checks it. mmseg's own layout of NYU works too: leave ann_file out
and set data_prefix=dict(img_path="images/train", depth_map_path="annotations/train").
"""

train_pipeline = [
    dict(type="SeedSample"),
    dict(type="LoadImage"),
    dict(type="LoadDepth", scale=1000.0, max_depth=10.0),
    dict(
        type="Albumentations",
        transforms=[
            dict(type="Crop", x_min=43, y_min=45, x_max=608, y_max=472),  # NYU's white border
            dict(type="Rotate", limit=2.5, p=0.5),
            dict(type="HorizontalFlip", p=0.5),
            dict(type="RandomCrop", height=416, width=544),
        ],
    ),
    dict(type="ColorAug", prob=0.5, gamma=(0.9, 1.1), brightness=(0.75, 1.25), color=(0.9, 1.1)),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadDepth", scale=1000.0, max_depth=10.0),
    dict(type="PackSegInputs"),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="ResumableInfiniteSampler", shuffle=True),
    dataset=dict(
        type="NYUDepthV2",
        data_root="data/nyu",
        ann_file="nyu_train.txt",
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="NYUDepthV2",
        data_root="data/nyu",
        ann_file="nyu_test.txt",
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="NYUDepthMetric", min_depth=1e-3, max_depth=10.0, crop="eigen")
test_evaluator = val_evaluator
