"""Linear classifier on four blocks, ImageNet-1k, top-1: DINOv2's.

Another backbone, or a repair, needs no file:
    ttrb train linear4_imagenet --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_linear4_imagenet. In this file it is the first import.

Protocol: DINOv2's, with CLS of the last four blocks and the mean of the last one's patches, as in
the released heads: ttrb test dinov2_vitl14_ttr_linear4_imagenet dinov2_vitl14_linear4_head.pth.
The 52 heads of `ttrb train linear_imagenet --probe-grid` are over one block and over four.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .linear_imagenet import *

model.backbone = dict(backbone, out_indices=(-4, -3, -2, -1), final_norm=True)
model.decode_head.in_channels = [facts.channels] * 4
protocol = dict(title="linear classifier over four blocks, ImageNet-1k", tta=False)
del backbone, facts, protocol
