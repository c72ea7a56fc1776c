"""Linear depth head on one block, NYUv2, RMSE: DINOv3's.

Another backbone, or a repair, needs no file:
    ttrb train lin1_nyu_dinov3 --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_lin1_nyu_dinov3. In this file it is the first import.

Protocol: DINOv3's linear evaluation (arXiv 2508.10104; the settings are those of its repository,
dinov3/eval/depth): the last block after the final norm, no CLS token, a synchronised batch norm
before the convolution, the depth of every patch resized to the image without upsampling before;
SigLoss, 256 bins from 1 mm to 10 m, flipped images averaged in the test, Eigen's crop. The data are
those of DINOv2's protocol. Numbers of the two are not comparable. Not checked against a published
number here: the last head counts, so that none is chosen on the images of the test.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.nyu import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_38k_dinov3 import *

model.backbone = dict(backbone, out_indices=(-1,), final_norm=True, pad="center")
model.decode_head.update(
    in_channels=[facts.channels],
    norm=True,
    upsample=1,
    init_cfg=dict(type="Normal", layer="Conv2d", std=0.01, bias=0.0),
)
model.data_preprocessor.update(mean=facts.mean, std=facts.std)
protocol = dict(title="linear depth head over one block, NYUv2, DINOv3's", tta=False)
del backbone, facts, protocol
