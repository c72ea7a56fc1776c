"""Object discovery with LOST, COCO20k, CorLoc.

Another backbone, or a repair, needs no file:
    ttrb test lost_coco20k --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_lost_coco20k. In this file it is the first import.

Protocol: LOST as published, with the facet of the last block that the backbone's file names.
`ttrb sweep lost_coco20k` looks for better blocks, facets and biases.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.coco20k_boxes import *
    from .._base_.heads.lost import *

model.backbone = dict(backbone, out_indices=(-1,), facet=facts.facet, pad="corner")
protocol = dict(title="LOST, COCO20k", tta=False)
del backbone, facts, protocol
