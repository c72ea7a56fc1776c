"""Linear classifier on CLIP's projected embedding, ImageNet-1k, top-1: wise-ft's.

Another backbone, or a repair, needs no file:
    ttrb train linear_imagenet_wiseft --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_linear_imagenet_wiseft. In this file it is the first import.

Protocol: wise-ft's linear classifier of a CLIP (arXiv 2109.01903; the settings are those of its
repository) with the rate of 0.01 that the paper of test-time registers names: the model's own
embedding, divided by its norm, of images as in the test (short side 224 bicubic, centre crop, the
model's own mean and std), no augmentation. With --feature-cache DIR every image passes the backbone
once. wise-ft may start from the zero-shot classifier; whether the paper did is not published:
    --cfg-options "model.zero_shot={'vectors': 'imagenet.safetensors'}"   # of `ttrb text`
One process takes all 128 images of a batch: on N GPUs train_dataloader.batch_size=128/N.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.imagenet import *
    from .._base_.heads.linear_class import *
    from .._base_.schedules.adamw_100k_wiseft import *

model.backbone = dict(backbone, out_indices=(-1,), final_norm=True)
model.decode_head.update(in_channels=None, token="pooled", mean_patch=False, normalize=True)
test_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="TorchvisionTransforms",
        transforms=[
            dict(type="Resize", size=224, interpolation="bicubic"),
            dict(type="CenterCrop", size=224),
        ],
    ),
    dict(type="PackClassInputs"),
]
train_pipeline = [dict(type="SeedSample"), *test_pipeline]
train_dataloader.dataset.pipeline = train_pipeline
val_dataloader.dataset.pipeline = test_pipeline
test_dataloader.dataset.pipeline = test_pipeline
protocol = dict(title="linear classifier on the embedding, ImageNet-1k, wise-ft's", tta=False)
del backbone, facts, protocol
