"""ImageNet-Segmentation: data/imagenet_seg/gtsegs_ijcv.mat, 4,276 images with foreground masks.

As the evaluation of clip_text_span: bicubic as Pillow does it, the short side 224 px and a crop of
the middle for the image, while the whole mask is squeezed to 224 x 224 px. --cfg-options
test_dataloader.dataset.pipeline.3.crop=True crops the mask too, which is another protocol.
Get: http://calvin-vision.net/bigstuff/proj-imagenet/data/gtsegs_ijcv.mat; needs h5py.
"""

test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ImageNetSegmentation",
        data_root="data/imagenet_seg",
        ann_file="gtsegs_ijcv.mat",
        pipeline=[
            dict(type="LoadMatImage"),
            dict(type="LoadForeground"),
            dict(
                type="TorchvisionTransforms",
                as_original=True,
                transforms=[
                    dict(type="Resize", size=224, interpolation="bicubic"),
                    dict(type="CenterCrop", size=224),
                ],
            ),
            dict(type="ForegroundMask", size=224, crop=False),
            dict(type="PackForegroundInputs"),
        ],
    ),
)
test_evaluator = dict(type="ForegroundMetric")
