"""Pascal VOC 2012 for "lin.": short side 512 times 0.5 to 2.0 in training, 512 px crops.

21 classes with the background, ImageSets/Segmentation/{train,val}.txt (1,464 and 1,449 images).
Whether DINOv2 trained on `train` or on `trainaug` (10,582 images) is not confirmed; the two copies
of its config that could be read say `train`. For `trainaug`: --cfg-options
train_dataloader.dataset.ann_file=ImageSets/Segmentation/trainaug.txt
train_dataloader.dataset.data_prefix.seg_map_path=SegmentationClassAug
Get: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar, unpack in data/.
"""

train_pipeline = [
    dict(type="SeedSample"),
    dict(type="LoadImage"),
    dict(type="LoadSegMask", reduce_zero_label=False, num_classes=21),
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
    dict(type="LoadSegMask", reduce_zero_label=False, num_classes=21),
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
            [dict(type="LoadSegMask", reduce_zero_label=False, num_classes=21)],
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
        type="PascalVOCDataset",
        data_root="data/VOCdevkit/VOC2012",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        ann_file="ImageSets/Segmentation/train.txt",
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="PascalVOCDataset",
        data_root="data/VOCdevkit/VOC2012",
        data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
        ann_file="ImageSets/Segmentation/val.txt",
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
