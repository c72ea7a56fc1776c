"""Linear classifier on a single token, CIFAR-100, top-1: Table 1 of arXiv 2506.08010.

Another backbone, or a repair, needs no file:
    ttrb train token_cifar100 --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_token_cifar100. In this file it is the first import.

Protocol: DINOv2's linear evaluation, as the paper says, with one token of the last block and
nothing else: --cfg-options model.decode_head.token=cls (the default), central_patch, outlier_patch,
register, or our mean_patch. Which patch the paper took of an image is not published: here the one
at the centre of the grid, and the one of the largest norm after the block before the last.
`--probe-grid` without values trains 13 learning rates.
Images: data/cifar100/{train,val}/<class>/*.png, the training and the test images
of CIFAR-100, resized as ImageNet's: the paper's sizes are not published.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .token_imagenet import *

model.decode_head.num_classes = 100
train_dataloader.dataset.data_root = "data/cifar100"
val_dataloader.dataset.data_root = "data/cifar100"
test_dataloader.dataset.data_root = "data/cifar100"
protocol = dict(title="linear classifier on one token, CIFAR-100", tta=False)
del backbone, facts, protocol
