"""DINOv2 ViT-L/14 with a test-time register, DPT depth head, NYUv2.

Protocol: DINOv2's DPT, features before the final norm; 480 x 640 px, Eigen's crop.
Train: ttrb train dinov2_vitl14_ttr_dpt_nyu_dinov2
Test: ttrb test dinov2_vitl14_ttr_dpt_nyu_dinov2 CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitl14_dpt_nyu_dinov2 import *

model.backbone.registers = dict(neurons="auto")
