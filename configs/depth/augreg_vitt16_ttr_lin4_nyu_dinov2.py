"""augreg ViT-Ti/16 with a test-time register, linear depth head over four blocks, NYUv2.

Protocol: DINOv2's lin.4, features before the final norm; 480 x 640 px, Eigen's crop.
    The model's own mean and std.
Train: ttrb train augreg_vitt16_ttr_lin4_nyu_dinov2
Test: ttrb test augreg_vitt16_ttr_lin4_nyu_dinov2 CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .augreg_vitt16_lin4_nyu_dinov2 import *

model.backbone.registers = dict(neurons="auto")
