"""DINOv2 ViT-L/14 with a test-time register, linear depth head over one block, NYUv2.

Protocol: Denoising-ViT's, the one of the TTR paper: the last block after the final norm,
    learning rate 5e-3, else DINOv2's lin.1.
Train: ttrb train dinov2_vitl14_ttr_lin1_nyu_dvt
Test: ttrb test dinov2_vitl14_ttr_lin1_nyu_dvt CHECKPOINT
Published RMSE in metres, none of it measured here:
    0.3774 +-0.0013 in the TTR paper, Table 13
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitl14_lin1_nyu_dvt import *

model.backbone.registers = dict(neurons="auto")
