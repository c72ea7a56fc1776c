"""ImageNet-1k, or any images in one folder per class: train/<class>/* and val/<class>/*.

1,281,167 and 50,000 images of ImageNet. Its official flat val/ takes the list of its classes too:
--cfg-options val_dataloader.dataset.ann_file=val.txt test_dataloader.dataset.ann_file=val.txt
(see `ClassFolders`). Without any images of train/ a head can be tested all the same:
--cfg-options test_dataloader.dataset.classes_of=None. Other images: --data-root DIR, and for a head
model.decode_head.num_classes=K.

As DINOv2's classification: bicubic as Pillow does it, crops of 224 px; the short side has 256 px in
the test.
"""

train_pipeline = [
    dict(type="SeedSample"),
    dict(type="LoadImage"),
    dict(
        type="TorchvisionTransforms",
        transforms=[
            dict(type="RandomResizedCrop", size=224, interpolation="bicubic"),
            dict(type="RandomHorizontalFlip", p=0.5),
        ],
    ),
    dict(type="PackClassInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="TorchvisionTransforms",
        transforms=[
            dict(type="Resize", size=256, interpolation="bicubic"),
            dict(type="CenterCrop", size=224),
        ],
    ),
    dict(type="PackClassInputs"),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="ResumableInfiniteSampler", shuffle=True),
    dataset=dict(
        type="ClassFolders",
        data_root="data/imagenet",
        data_prefix=dict(img_path="train"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ClassFolders",
        data_root="data/imagenet",
        data_prefix=dict(img_path="val"),
        classes_of="train",
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="AccuracyMetric")
test_evaluator = val_evaluator
