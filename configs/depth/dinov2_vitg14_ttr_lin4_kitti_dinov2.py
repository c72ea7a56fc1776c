"""DINOv2 ViT-g/14 with a test-time register, linear depth head over four blocks, KITTI.

Protocol: DINOv2's lin.4, features before the final norm; 352 x 1216 px, Garg's crop.
Train: ttrb train dinov2_vitg14_ttr_lin4_kitti_dinov2
Test: ttrb test dinov2_vitg14_ttr_lin4_kitti_dinov2 CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitg14_lin4_kitti_dinov2 import *

model.backbone.registers = dict(neurons="auto")
