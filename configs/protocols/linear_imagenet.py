"""Linear classifier on one block, ImageNet-1k, top-1: DINOv2's.

Another backbone, or a repair, needs no file:
    ttrb train linear_imagenet --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_linear_imagenet. In this file it is the first import.

Protocol: DINOv2's. `--probe-grid` without values trains its 52 heads (13 learning rates, one block
or four, with and without the mean patch) and names the best, chosen on the validation set, as
published. Without the option this trains one of them, the one of the released *_linear_head.pth:
    ttrb test dinov2_vitl14_ttr_linear_imagenet dinov2_vitl14_linear_head.pth
Table 1 of the paper of test-time registers probes one token: --probe-grid patch=off lr=... with
--cfg-options model.decode_head.token=register (or cls, central_patch, outlier_patch).
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.imagenet import *
    from .._base_.heads.linear_class import *
    from .._base_.schedules.sgd_12500 import *

model.backbone = dict(backbone, out_indices=(-1,), final_norm=True)
model.decode_head.in_channels = [facts.channels]
model.data_preprocessor = dict(
    type="ImgDataPreprocessor", mean=facts.mean, std=facts.std, bgr_to_rgb=True
)
probe_grid = [
    "lr=1e-5,2e-5,5e-5,1e-4,2e-4,5e-4,1e-3,2e-3,5e-3,1e-2,2e-2,5e-2,0.1",
    "block=-1,-4+-3+-2+-1",
    "patch=off,on",
]
protocol = dict(title="linear classifier over one block, ImageNet-1k", tta=False)
del backbone, facts, protocol
