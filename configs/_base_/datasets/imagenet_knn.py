"""ImageNet-1k for kNN: the images of train/ are the labelled ones, those of val/ are classified.

Both through the transform of the test. Any images in one folder per class: --data-root DIR.
"""

from mmengine.config import read_base

with read_base():
    from .imagenet import test_dataloader, test_pipeline

test_dataloader.batch_size = 256
test_evaluator = dict(type="KnnMetric")
test_cfg = dict(
    type="KnnTestLoop",
    bank=dict(
        batch_size=256,
        num_workers=8,
        sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
        dataset=dict(
            type="ClassFolders",
            data_root="data/imagenet",
            data_prefix=dict(img_path="train"),
            pipeline=test_pipeline,
        ),
    ),
)
