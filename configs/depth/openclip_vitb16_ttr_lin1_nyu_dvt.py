"""OpenCLIP ViT-B/16 (LAION-2B) with a test-time register, linear depth head over one block, NYUv2.

Protocol: Denoising-ViT's, the one of the TTR paper: the last block after the final norm,
    learning rate 5e-3, else DINOv2's lin.1.
    ImageNet's mean and std instead of the model's own, as there.
Train: ttrb train openclip_vitb16_ttr_lin1_nyu_dvt
Test: ttrb test openclip_vitb16_ttr_lin1_nyu_dvt CHECKPOINT
Published RMSE in metres, none of it measured here:
    0.5956 +-0.0016 in the TTR paper, Table 13
"""

from mmengine.config import read_base

with read_base():
    from .openclip_vitb16_lin1_nyu_dvt import *

model.backbone.registers = dict(neurons="auto")
