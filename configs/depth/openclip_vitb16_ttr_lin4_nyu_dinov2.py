"""OpenCLIP ViT-B/16 (LAION-2B) with a test-time register, linear depth, four blocks, NYUv2.

Protocol: DINOv2's lin.4, features before the final norm; 480 x 640 px, Eigen's crop.
    ImageNet's mean and std instead of the model's own.
Train: ttrb train openclip_vitb16_ttr_lin4_nyu_dinov2
Test: ttrb test openclip_vitb16_ttr_lin4_nyu_dinov2 CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .openclip_vitb16_lin4_nyu_dinov2 import *

model.backbone.registers = dict(neurons="auto")
