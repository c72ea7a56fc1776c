"""KITTI depth, Eigen split: 23,158 training images and 652 test images with depth, 80 m.

`kitti_eigen_train.txt` and `kitti_eigen_test.txt` hold lines "image depth focal", images under
input/ and depth (uint16, metres times 256) under gt_depth/, as in the Monocular-Depth-Estimation-
Toolbox; test lines with "None" for the depth are left out. Scored on Garg's crop.
"""

train_pipeline = [
    dict(type="SeedSample"),
    dict(type="LoadImage"),
    dict(type="LoadDepth", scale=256.0, max_depth=80.0),
    dict(type="KBCrop", height=352, width=1216),
    dict(
        type="Albumentations",
        transforms=[
            dict(type="Rotate", limit=2.5, p=0.5),
            dict(type="HorizontalFlip", p=0.5),
            dict(type="RandomCrop", height=352, width=704),
        ],
    ),
    dict(type="ColorAug", prob=0.5, gamma=(0.9, 1.1), brightness=(0.9, 1.1), color=(0.9, 1.1)),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadDepth", scale=256.0, max_depth=80.0),
    dict(type="KBCrop", height=352, width=1216),
    dict(type="PackSegInputs"),
]

prefix = dict(img_path="input", depth_map_path="gt_depth")
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="ResumableInfiniteSampler", shuffle=True),
    dataset=dict(
        type="KITTIDepth",
        data_root="data/kitti",
        data_prefix=prefix,
        ann_file="kitti_eigen_train.txt",
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="KITTIDepth",
        data_root="data/kitti",
        data_prefix=prefix,
        ann_file="kitti_eigen_test.txt",
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
# ttr_backbones' metric of depth maps, whatever the data set; mmseg has the name DepthMetric.
val_evaluator = dict(
    type="NYUDepthMetric", min_depth=1e-3, max_depth=80.0, crop="garg", output_scale=256.0
)
test_evaluator = val_evaluator
del prefix
