"""Object discovery with LOST, COCO val2017, CorLoc.

Another backbone, or a repair, needs no file:
    ttrb test lost_coco_val2017 --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_lost_coco_val2017. In this file it is the first import.

Protocol: LOST as published, with the facet of the last block that the backbone's file names.
`ttrb sweep lost_coco_val2017` looks for better blocks, facets and biases.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.coco_val2017_boxes import *
    from .._base_.heads.lost import *

model.backbone = dict(backbone, out_indices=(-1,), facet=facts.facet, pad="corner")
protocol = dict(title="LOST, COCO val2017", tta=False)
del backbone, facts, protocol
