"""ImageNet-1k val, or any images in one folder per class, as the model was trained to see them.

Its official flat val/ takes the list of its classes: --cfg-options
test_dataloader.dataset.ann_file=val.txt (see `ClassFolders`). Other images: --data-root DIR,
test_dataloader.dataset.data_prefix.img_path=FOLDER and model.text=FILE.
"""

test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ClassFolders",
        data_root="data/imagenet",
        data_prefix=dict(img_path="val"),
        pipeline=[
            dict(type="LoadImage"),
            dict(type="ModelCrop"),
            dict(type="PackClassInputs"),
        ],
    ),
)
test_evaluator = dict(type="AccuracyMetric")
