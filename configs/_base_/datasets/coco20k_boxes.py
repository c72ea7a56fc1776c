"""COCO20k: 19,817 images of COCO train2014, chosen by LOST's authors, each in its own size.

Get: http://images.cocodataset.org/zips/train2014.zip and
http://images.cocodataset.org/annotations/annotations_trainval2014.zip, unpack both in data/coco/;
LOST's list (datasets/coco_20k_filenames.txt of github.com/valeoai/LOST) to data/coco/.
Another part of COCO: --cfg-options test_dataloader.dataset.list_file=None
test_dataloader.dataset.ann_file=annotations/instances_val2017.json
test_dataloader.dataset.data_prefix.img_path=val2017
"""

test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="COCO20k",
        data_root="data/coco",
        data_prefix=dict(img_path="train2014"),
        ann_file="annotations/instances_train2014.json",
        list_file="coco_20k_filenames.txt",
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadBoxes"),
            dict(type="PackBoxInputs"),
        ],
    ),
)
test_evaluator = dict(type="CorLocMetric")
