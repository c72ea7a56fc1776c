"""Trial run of minutes on a CPU: lin1_nyu_dvt with 200 iterations.

Another backbone, or a repair, needs no file:
    ttrb train lin1_nyu_200it --backbone dinov2_vitl14 --repair ttr
or shorter dinov2_vitl14_ttr_lin1_nyu_200it. In this file it is the first import.

Protocol: Denoising-ViT's, but 200 iterations. It shows that everything works, with a handful of
images, and reproduces no number.
Without a network: --cfg-options model.backbone.pretrained=False model.backbone.checkpoint=FILE
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.nyu import *
    from .._base_.default_runtime import *
    from .._base_.heads.depth_linear import *
    from .._base_.schedules.adamw_depth_200it import *

model.backbone = dict(
    backbone, out_indices=(-1,), final_norm=True, pos_embed="timm", cls_token="concat", pad="center"
)
model.decode_head.in_channels = [2 * facts.channels]
model.data_preprocessor.update(mean=facts.mean, std=facts.std)
train_dataloader.num_workers = 2
val_dataloader.num_workers = 1
test_dataloader.num_workers = 1
model.decode_head.loss_decode.warm_up = 10  # the protocol's 100 calls are half of this run
default_hooks.checkpoint.update(interval=50, save_best="abs_rel", rule="less")
default_hooks.logger.interval = 10
protocol = dict(title="linear depth head over one block, NYUv2: a trial run", tta=False, trial=True)
del backbone, facts, protocol
