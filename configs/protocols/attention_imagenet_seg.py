"""Attention as a mask, ImageNet-Segmentation, mIoU: Table 4 of arXiv 2506.08010.

Another backbone, or a repair, needs no file:
    ttrb test attention_imagenet_seg --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_attention_imagenet_seg. In this file it is the first import.

Protocol: attention of CLS to the patches in the last block, mean over the heads, enlarged to the
image, the foreground where it is above its mean; mIoU of background and foreground, pixel
accuracy, mAP. As the evaluation of clip_text_span, which the paper names; that one scores the first
image of a batch only, here all of them. Images are normalised with the backbone's own mean and std.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.imagenet_segmentation import *
    from .._base_.default_runtime import *

model = dict(type="AttentionForeground", backbone=dict(backbone, out_indices=(-1,)), block=-1)
# torch's DistributedDataParallel refuses a model without parameters to train.
model_wrapper_cfg = dict(type="NoModelWrapper")
test_cfg = dict(type="TestLoop")
visualizer.type = "ForegroundVisualizer"
protocol = dict(title="attention as a mask, ImageNet-Segmentation", tta=False)
del backbone, facts, protocol
