"""Pascal VOC 2012 trainval, boxes (11,540 images), each in its own size.

All objects count, difficult and truncated ones too. LOST's variant without them:
--cfg-options test_dataloader.dataset.hard=False
Get: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar, unpack in data/.
"""

test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="VOCBoxes",
        data_root="data/VOCdevkit/VOC2012",
        data_prefix=dict(img_path="JPEGImages", ann_path="Annotations"),
        ann_file="ImageSets/Main/trainval.txt",
        hard=True,
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadBoxes"),
            dict(type="PackBoxInputs"),
        ],
    ),
)
test_evaluator = dict(type="CorLocMetric")
