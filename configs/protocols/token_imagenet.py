"""Linear classifier on a single token, ImageNet-1k, top-1: Table 1 of arXiv 2506.08010.

Another backbone, or a repair, needs no file:
    ttrb train token_imagenet --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_token_imagenet. In this file it is the first import.

Protocol: DINOv2's linear evaluation, as the paper says, with one token of the last block and
nothing else: --cfg-options model.decode_head.token=cls (the default), central_patch, outlier_patch,
register, or our mean_patch. Which patch the paper took of an image is not published: here the one
at the centre of the grid, and the one of the largest norm after the block before the last.
`--probe-grid` without values trains 13 learning rates.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .linear_imagenet import *

model.decode_head.mean_patch = False
probe_grid = ["lr=1e-5,2e-5,5e-5,1e-4,2e-4,5e-4,1e-3,2e-3,5e-3,1e-2,2e-2,5e-2,0.1"]
protocol = dict(title="linear classifier on one token, ImageNet-1k", tta=False)
del backbone, facts, protocol
