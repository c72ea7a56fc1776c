"""DINOv2 ViT-g/14 with a test-time register, linear depth head over one block, NYUv2.

Protocol: Denoising-ViT's, the one of the TTR paper: the last block after the final norm,
    learning rate 5e-3, else DINOv2's lin.1.
Train: ttrb train dinov2_vitg14_ttr_lin1_nyu_dvt
Test: ttrb test dinov2_vitg14_ttr_lin1_nyu_dvt CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitg14_lin1_nyu_dvt import *

model.backbone.registers = dict(neurons="auto")
