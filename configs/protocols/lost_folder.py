"""Object discovery with LOST in a folder of images, without ground truth.

Another backbone, or a repair, needs no file:
    ttrb test lost_folder --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_lost_folder. In this file it is the first import.

Protocol: LOST as published, with the facet of the last block that the backbone's file names.
ttrb test NAME --data-root DIR --show-dir DIR
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.image_folder import *
    from .._base_.heads.lost import *

model.backbone = dict(backbone, out_indices=(-1,), facet=facts.facet, pad="corner")
protocol = dict(title="LOST, a folder of images", tta=False)
del backbone, facts, protocol
