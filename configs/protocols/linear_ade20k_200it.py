"""Trial run of minutes on a CPU: linear_ade20k in small, 200 iterations.

Another backbone, or a repair, needs no file:
    ttrb train linear_ade20k_200it --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_linear_ade20k_200it. In this file it is the first import.

Protocol: 200 iterations of 4 crops of 224 px, windows of 224 px in the test. It shows that
everything works, with a handful of images, and reproduces no number.
Without a network: --cfg-options model.backbone.pretrained=False model.backbone.checkpoint=FILE
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.ade20k_224 import *
    from .._base_.default_runtime import *
    from .._base_.heads.linear import *
    from .._base_.schedules.adamw_200it import *

model.backbone = dict(backbone, out_indices=(-4, -3, -2, -1), pad="center")
model.decode_head.update(in_channels=[facts.channels], num_classes=150)
model.data_preprocessor.update(mean=facts.mean, std=facts.std, size=(224, 224))
model.test_cfg = dict(mode="slide", crop_size=(224, 224), stride=(149, 149))
default_hooks.checkpoint.interval = 50
default_hooks.logger.interval = 10
protocol = dict(title="linear head, ADE20K in small: a trial run", tta=False, trial=True)
del backbone, facts, protocol
