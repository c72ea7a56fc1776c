"""Linear classifier on one block, ImageNet-1k, top-1: DINOv3's.

Another backbone, or a repair, needs no file:
    ttrb train linear_imagenet_dinov3 --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_linear_imagenet_dinov3. In this file it is the first import.

Protocol: DINOv3's (arXiv 2508.10104; the settings are those of its repository,
dinov3/eval/linear.py): DINOv2's, with CLS and the mean patch of the last block always, and 13
learning rates. `--probe-grid` without values trains these 13 heads. Its other optimiser:
--cfg-options optim_wrapper.optimizer="{'_delete_': True, 'type': 'AdamW', 'lr': 1e-3,
'weight_decay': 0.0}"
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .linear_imagenet import *

probe_grid = ["lr=1e-5,2e-5,5e-5,1e-4,2e-4,5e-4,1e-3,2e-3,5e-3,1e-2,2e-2,5e-2,0.1"]
protocol = dict(title="linear classifier over one block, ImageNet-1k, DINOv3's", tta=False)
del backbone, facts, protocol
