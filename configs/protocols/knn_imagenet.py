"""kNN classification, ImageNet-1k, top-1: DINOv2's.

Another backbone, or a repair, needs no file:
    ttrb test knn_imagenet --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_knn_imagenet. In this file it is the first import.

Protocol: DINOv2's; the best of k = 10, 20, 100 and 200. Any images in one folder per class:
--data-root DIR, and --cfg-options "model.k=(5,10)" where there are few.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.imagenet_knn import *
    from .._base_.heads.knn import *

model.backbone = dict(backbone, out_indices=(-1,), final_norm=True)
protocol = dict(title="kNN, ImageNet-1k", tta=False)
del backbone, facts, protocol
