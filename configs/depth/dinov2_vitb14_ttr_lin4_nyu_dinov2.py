"""DINOv2 ViT-B/14 with a test-time register, linear depth head over four blocks, NYUv2.

Protocol: DINOv2's lin.4, features before the final norm; 480 x 640 px, Eigen's crop.
Train: ttrb train dinov2_vitb14_ttr_lin4_nyu_dinov2
Test: ttrb test dinov2_vitb14_ttr_lin4_nyu_dinov2 CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitb14_lin4_nyu_dinov2 import *

model.backbone.registers = dict(neurons="auto")
